-- Sungrow SH hybrid inverters (SH*RT, SH*RS, SH*T) by Modbus TCP on the inverter's own LAN port or
-- over RS485: PV generation, battery and grid meter of one machine.
--
-- Sources:
--   Sungrow, "Communication Protocol of Residential Hybrid Inverter", V1.0.20 (2020): registers,
--   types and units. Register n there is address n - 1 here; 32-bit values have the low word first.
--   The same, V1.1.x (TI_20240924): 5628 (rated power of the battery side), 33047 and 33048.
-- The three parts add up to the AC terminal within the losses: PV is what the modules give on the
-- DC side, the battery what flows at its terminals.

local NO_INT32 = { 0x7FFFFFFF } -- seen where no meter is connected

local function input(name, address, encoding, unit, scale, extra)
  local point = { name = name, kind = "input", address = address, encoding = encoding,
                  unit = unit, scale = scale, wordOrder = "little", period = 1 }
  for key, value in pairs(extra or {}) do
    point[key] = value
  end
  return point
end

local function setting(name, address, unit, scale, min, max)
  return { name = name, kind = "holding", address = address, encoding = "uint16", unit = unit,
           scale = scale, writable = { min = min, max = max } }
end

local SELF_CONSUMPTION, FORCED = 0, 2              -- EMS mode, 13050
local CHARGE, DISCHARGE, STOP = 0xAA, 0xBB, 0xCC   -- command, 13051

-- The mode is switched last, so that a new mode never meets an old power. A limit that was written
-- before does not stand in the way of a set point: the machine gets the bound of today with it.
local function forced(command, limit, bound)
  return {
    { point = limit, from = bound },
    { point = "_forcedPower", from = "power" },
    { point = "_forcedCommand", value = command },
    { point = "_emsMode", value = FORCED },
  }
end

local function free()
  return {
    { point = "_maxChargePower", from = "maxChargePower" },
    { point = "_maxDischargePower", from = "maxDischargePower" },
    { point = "_forcedPower", value = 0 },
    { point = "_forcedCommand", value = STOP },
    { point = "_emsMode", value = SELF_CONSUMPTION },
  }
end

-- 13022 is the battery's power. Firmware up to about October 2024 gives it without a sign, newer
-- ones give charging as positive; the direction is in the power flow status of both (13001: bit 1
-- charging, bit 2 discharging).
local function batteryPower(raw, flow)
  if not raw or not flow then
    return nil
  end
  flow = math.tointeger(flow)
  local charging, discharging = flow & 2 ~= 0, flow & 4 ~= 0
  if charging and discharging then
    return nil
  elseif charging then
    return math.abs(raw)
  elseif discharging then
    return -math.abs(raw)
  end
  return 0 -- at rest
end

return {
  api = 1,
  name = "sungrow_hybrid",
  version = "1.0",
  manufacturer = "Sungrow",
  models = { "SH5.0RT", "SH6.0RT", "SH8.0RT", "SH10RT", "SH3.6RS", "SH4.6RS", "SH5.0RS",
             "SH6.0RS", "SH5T", "SH6T", "SH8T", "SH10T", "SH12T", "SH15T", "SH20T", "SH25T" },

  link = {
    kinds = { "tcp", "serial" },
    timeout = 3,
    maxBlock = 100,
    maxGap = 8,
  },

  parameters = {
    -- The battery's own limits where they are below those of the inverter.
    maxChargePower = { unit = "W", min = 100, max = 50000 },
    maxDischargePower = { unit = "W", min = 100, max = 50000 },
    capacity = { unit = "Wh", min = 1000, max = 200000 },
  },

  points = {
    { name = "serialNumber", kind = "input", address = 4989, encoding = "string", length = 10 },
    { name = "_deviceType", kind = "input", address = 4999, encoding = "uint16",
      period = "once" }, -- 0x0E03: SH10RT ...
    input("_powerFlow", 13000, "uint16"), -- 13001
  },

  parts = {
    inverter = {
      type = "inverter",
      points = {
        input("activePower", 5016, "uint32", "W", -1), -- total DC power of the modules
        input("ratedPower", 5000, "uint16", "kW", 0.1, { period = "once" }),
        input("temperature", 5007, "int16", "degC", 0.1),
        input("voltageL1", 5018, "uint16", "V", 0.1),
        input("voltageL2", 5019, "uint16", "V", 0.1),
        input("voltageL3", 5020, "uint16", "V", 0.1),
        input("state", 12999, "uint16", nil, nil, {
          values = {
            [0x0002] = "off",      -- stop
            [0x0008] = "standby",
            [0x0010] = "standby",  -- initial standby
            [0x0020] = "starting",
            [0x0040] = "running",
            [0x0100] = "error",
            [0x0400] = "running",  -- maintain mode
            [0x0800] = "running",  -- forced mode
            [0x1000] = "running",  -- off-grid
            [0x2501] = "starting", -- restarting
            [0x4000] = "running",  -- external EMS mode
          },
        }),
        input("energyExport", 13002, "uint32", "kWh", 0.1), -- total PV generation
      },
    },

    battery = {
      type = "battery",
      points = {
        input("activePower", 13021, "int16", "W"), -- its sign: see batteryPower()
        input("dcVoltage", 13019, "uint16", "V", 0.1),
        input("stateOfCharge", 13022, "uint16", "%", 0.1),
        input("stateOfHealth", 13023, "uint16", "%", 0.1),
        input("temperature", 13024, "int16", "degC", 0.1),
        input("energyExport", 13026, "uint32", "kWh", 0.1), -- total discharge
        input("energyImport", 13040, "uint32", "kWh", 0.1), -- total charge
        input("ratedPower", 5627, "uint16", "W", 100, { period = "once" }),

        setting("_emsMode", 13049, "", 1, 0, 4),
        setting("_forcedCommand", 13050, "", 1, 0, 0xFF),
        -- Documented as 0..100 % for SH*RT; the machines take watts, as SH*K do.
        setting("_forcedPower", 13051, "W", 1, 0, 30000),
        -- 10 W is the least that the protocol takes: "no charging" as a limit becomes a hold.
        setting("_maxChargePower", 33046, "W", 10, 10, 50000),
        setting("_maxDischargePower", 33047, "W", 10, 10, 50000),
      },
      controls = {
        withoutSetPoint = "ownControl",
        charge = forced(CHARGE, "_maxChargePower", "maxChargePower"),
        discharge = forced(DISCHARGE, "_maxDischargePower", "maxDischargePower"),
        hold = {
          { point = "_forcedPower", value = 0 },
          { point = "_forcedCommand", value = STOP },
          { point = "_emsMode", value = FORCED },
        },
        limit = free(),
        release = free(), -- within all that the battery can do
        lag = 15,
        tolerance = 150,
      },
    },

    meter = {
      type = "meter",
      points = {
        -- 13010 export power: positive while exporting.
        input("activePower", 13009, "int32", "W", -1, { notAvailable = NO_INT32 }),
        input("energyImport", 13036, "uint32", "kWh", 0.1),
        input("energyExport", 13045, "uint32", "kWh", 0.1),
      },
    },
  },

  hooks = {
    values = function(dev, values)
      if dev.part ~= "battery" then
        return {}
      end
      return { activePower = batteryPower(values.activePower, values._powerFlow) or false }
    end,
  },
}
