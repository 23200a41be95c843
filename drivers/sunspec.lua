-- Any inverter that speaks SunSpec Modbus with the models 1 (common), 101-103 or 111-113
-- (inverter), 120/121 (ratings), 123 (immediate controls), and its storage by 124.
--
-- Source: SunSpec Alliance, "models" (github.com/sunspec/models, json/model_N.json, revision
-- 7abdf89 of 2026-04-22) and "SunSpec Information Model Specification" for what marks a point as
-- not implemented. An address counts registers from the model's ID register (ID = 0, L = 1).
--
-- Sign: SunSpec counts what is generated as positive, derd what is imported. Hence scale = -1.

local INT, FLOAT = { 101, 102, 103 }, { 111, 112, 113 }

local NO_INT16, NO_UINT16 = { 0x8000 }, { 0xFFFF }

local STATES = { -- St of 101-103 and 111-113
  [1] = "off", [2] = "standby", [3] = "starting", [4] = "producing", [5] = "throttled",
  [6] = "standby", -- SHUTTING_DOWN
  [7] = "error", [8] = "standby",
}

-- A power of ten (sunssf) of one model. It is read with the values that it scales.
local function factor(name, model, address)
  return { name = name, model = model, address = address, encoding = "int16",
           notAvailable = NO_INT16 }
end

local function int(name, address, scaleFactor, unit, scale)
  return { name = name, model = INT, address = address, encoding = "int16", unit = unit,
           scaleFactor = scaleFactor, scale = scale, notAvailable = NO_INT16 }
end

local function uint(name, address, scaleFactor, unit)
  return { name = name, model = INT, address = address, encoding = "uint16", unit = unit,
           scaleFactor = scaleFactor, notAvailable = NO_UINT16 }
end

local function float(name, address, unit, scale)
  return { name = name, model = FLOAT, address = address, encoding = "float32", unit = unit,
           scale = scale }
end

local function rating(name, model, address, scaleFactor, unit)
  return { name = name, model = model, address = address, encoding = "uint16", unit = unit,
           scaleFactor = scaleFactor, notAvailable = NO_UINT16 }
end

local function text(name, address, length)
  return { name = name, model = 1, address = address, encoding = "string", length = length }
end

-- A register of the models 123 and 124 that is written. SunSpec asks for function 16.
local function control(name, model, address, encoding, min, max, scaleFactor, unit)
  return { name = name, model = model, address = address, encoding = encoding, unit = unit,
           scaleFactor = scaleFactor, writable = { min = min, max = max }, write = "multiple" }
end

-- Rates first, then how long they hold without being renewed, the mode last.
local function rates(inWRte, outWRte)
  return { inWRte, outWRte, { point = "_inOutWRteRvrtTms", parameter = "_revertTime" },
           { point = "_storCtlMod", value = 3 } }
end

return {
  api = 1,
  name = "sunspec",
  version = "1.0",
  manufacturer = "SunSpec",
  models = { "any with models 1, 101-103 or 111-113, 120, 123", "storage with model 124" },

  link = {
    kinds = { "tcp" },
    timeout = 2,
    maxBlock = 120,
    -- Models have no holes: a value and its scale factor come in one read, from the first one on.
    maxGap = 40,
    sunspec = { bases = { 40000, 50000, 0 } }, -- in this order, for the marker "SunS"
  },

  parameters = {
    -- For devices that do not tell (models 120 and 121 left out, or their points).
    ratedPower = { unit = "W", min = 100, max = 1000000 },
    maxChargePower = { unit = "W", min = 100, max = 1000000 },
    maxDischargePower = { unit = "W", min = 100, max = 1000000 },
    -- After this long without a word from the host the device goes back to its own control.
    _revertTime = { unit = "s", min = 60, max = 3600, default = 120 },
  },

  points = { -- model 1, of the machine as a whole
    text("manufacturer", 2, 16), -- Mn
    text("model", 18, 16),       -- Md
    text("firmwareVersion", 42, 8), -- Vr
    text("serialNumber", 50, 16), -- SN
  },

  parts = {
    inverter = {
      type = "inverter",
      points = {
        -- 101, 102, 103: integers with scale factors
        uint("currentL1", 3, "_aSf", "A"), -- AphA
        uint("currentL2", 4, "_aSf", "A"),
        uint("currentL3", 5, "_aSf", "A"),
        factor("_aSf", INT, 6),
        uint("voltageL1", 10, "_vSf", "V"), -- PhVphA
        uint("voltageL2", 11, "_vSf", "V"),
        uint("voltageL3", 12, "_vSf", "V"),
        factor("_vSf", INT, 13),
        int("activePower", 14, "_wSf", "W", -1), -- W
        factor("_wSf", INT, 15),
        uint("frequency", 16, "_hzSf", "Hz"),
        factor("_hzSf", INT, 17),
        int("apparentPower", 18, "_vaSf", "VA"),
        factor("_vaSf", INT, 19),
        int("reactivePower", 20, "_varSf", "var", -1),
        factor("_varSf", INT, 21),
        -- acc32: 0 means "not implemented"
        { name = "energyExport", model = INT, address = 24, encoding = "uint32", unit = "Wh",
          scaleFactor = "_whSf", notAvailable = { 0 } },
        factor("_whSf", INT, 26),
        int("dcPower", 31, "_dcwSf", "W", -1),
        factor("_dcwSf", INT, 32),
        int("temperature", 33, "_tmpSf", "degC"), -- TmpCab
        factor("_tmpSf", INT, 37),
        { name = "state", model = INT, address = 38, encoding = "uint16", values = STATES,
          notAvailable = NO_UINT16 },

        -- 111, 112, 113: floats; NaN means "not implemented"
        float("currentL1", 4, "A"),
        float("currentL2", 6, "A"),
        float("currentL3", 8, "A"),
        float("voltageL1", 16, "V"),
        float("voltageL2", 18, "V"),
        float("voltageL3", 20, "V"),
        float("activePower", 22, "W", -1),
        float("frequency", 24, "Hz"),
        float("apparentPower", 26, "VA"),
        float("reactivePower", 28, "var", -1),
        float("energyExport", 32, "Wh"),
        float("dcPower", 38, "W", -1),
        float("temperature", 40, "degC"),
        { name = "state", model = FLOAT, address = 48, encoding = "uint16", values = STATES,
          notAvailable = NO_UINT16 },

        -- The limit of model 123 is a percentage of WMax (121), which defaults to WRtg (120).
        rating("ratedPower", 121, 2, "_wMaxSf", "W"), -- WMax
        factor("_wMaxSf", 121, 22),
        rating("ratedPower", 120, 3, "_wRtgSf", "W"), -- WRtg
        factor("_wRtgSf", 120, 4),

        control("_wMaxLimPct", 123, 5, "uint16", 0, 100, "_wMaxLimPctSf", "%"),
        control("_wMaxLimPctRvrtTms", 123, 7, "uint16", 0, 65534, nil, "s"),
        control("_wMaxLimEna", 123, 9, "uint16", 0, 1),
        factor("_wMaxLimPctSf", 123, 23),
      },
      controls = {
        withoutSetPoint = "ownControl",
        limit = {
          { point = "_wMaxLimPct", from = "maxDischargePower", percentOf = "ratedPower" },
          { point = "_wMaxLimPctRvrtTms", parameter = "_revertTime" },
          { point = "_wMaxLimEna", value = 1 },
        },
        release = { { point = "_wMaxLimEna", value = 0 } },
        refresh = 20,
        watchdog = { ownControlAfter = "_revertTime" },
        lag = 15,
        tolerance = 100,
      },
    },

    -- Model 124 has no power of the battery: it is known only where the device has more models.
    battery = {
      type = "battery",
      points = {
        { name = "stateOfCharge", model = 124, address = 8, encoding = "uint16", unit = "%",
          scaleFactor = "_chaStateSf", notAvailable = NO_UINT16 }, -- ChaState
        factor("_chaStateSf", 124, 22),
        { name = "dcVoltage", model = 124, address = 10, encoding = "uint16", unit = "V",
          scaleFactor = "_inBatVSf", notAvailable = NO_UINT16 }, -- InBatV
        factor("_inBatVSf", 124, 24),
        { name = "state", model = 124, address = 11, encoding = "uint16", -- ChaSt
          values = { [1] = "off", [2] = "ready", [3] = "discharging", [4] = "charging",
                     [5] = "ready", [6] = "ready", [7] = "unknown" },
          notAvailable = NO_UINT16 },
        { name = "maxChargePower", model = 124, address = 2, encoding = "uint16", unit = "W",
          scaleFactor = "_wChaMaxSf", notAvailable = NO_UINT16 }, -- WChaMax
        factor("_wChaMaxSf", 124, 18),
        rating("maxDischargePower", 120, 25, "_maxDisChaRteSf", "W"), -- MaxDisChaRte
        factor("_maxDisChaRteSf", 120, 26),
        rating("capacity", 120, 19, "_whRtgSf", "Wh"), -- WHRtg
        factor("_whRtgSf", 120, 20),

        control("_storCtlMod", 124, 5, "uint16", 0, 3), -- bit 0: charge, bit 1: discharge limit
        control("_outWRte", 124, 12, "int16", -100, 100, "_inOutWRteSf", "%"), -- % of WDisChaMax
        control("_inWRte", 124, 13, "int16", -100, 100, "_inOutWRteSf", "%"),  -- % of WChaMax
        control("_inOutWRteRvrtTms", 124, 15, "uint16", 0, 65534, nil, "s"),
        factor("_inOutWRteSf", 124, 25),
      },
      -- Limits, hold and release are what the model states. A negative rate of one direction, which
      -- forces the other (at least this much), is the behaviour of vendors and not in the model.
      -- Charging from the grid needs ChaGriSet = 1, which stays the owner's setting.
      controls = {
        withoutSetPoint = "ownControl",
        charge = rates(
          { point = "_inWRte", from = "power", percentOf = "maxChargePower" },
          { point = "_outWRte", from = "power", percentOf = "maxDischargePower", scale = -1 }),
        discharge = rates(
          { point = "_outWRte", from = "power", percentOf = "maxDischargePower" },
          { point = "_inWRte", from = "power", percentOf = "maxChargePower", scale = -1 }),
        hold = rates({ point = "_inWRte", value = 0 }, { point = "_outWRte", value = 0 }),
        limit = rates(
          { point = "_inWRte", from = "maxChargePower", percentOf = "maxChargePower" },
          { point = "_outWRte", from = "maxDischargePower", percentOf = "maxDischargePower" }),
        release = { { point = "_storCtlMod", value = 0 } },
        refresh = 20,
        watchdog = { ownControlAfter = "_revertTime" },
        lag = 15,
        tolerance = 100,
      },
    },
  },
}
