-- ABB Terra AC wallbox (firmware 1.8 and above) by Modbus TCP or RTU.
--
-- Source: ABB, "Terra AC Charger Modbus Communication", v1.11 of March 2025, section 5 "Modbus
-- map". 4000h there is 16384 here. Values of two registers have the high word first (section 7.1).
--
-- What the document leaves out, and this driver too: a total energy counter (401Eh counts the
-- current session and falls back to 0) and the phases in use (the host counts those with current).

local function reading(name, address, unit, scale)
  return { name = name, kind = "holding", address = address, encoding = "uint32", unit = unit,
           scale = scale, period = 2 }
end

-- 4100h to 4109h are write-only: what was written is never read back from there, at most from a
-- register that shows it.
local function order(name, address, encoding, unit, scale, min, max, readBack)
  return { name = name, kind = "holding", address = address, encoding = encoding, unit = unit,
           scale = scale, writable = { min = min, max = max }, write = "multiple",
           readBack = readBack or false, period = "never" }
end

return {
  api = 1,
  name = "abb_terra_ac",
  version = "1.0",
  manufacturer = "ABB",
  models = { "Terra AC W7", "Terra AC W11", "Terra AC W22" },
  type = "chargingStation",

  link = {
    kinds = { "tcp", "serial" },
    timeout = 2,
    -- 4021h is not in the map: no read reaches across it. One read of 24 registers is all that is
    -- polled, every 2 s. ABB recommends 30 to 90 s, too slow to follow the sun.
    maxBlock = 40,
    maxGap = 4,
  },

  parameters = {
    phases = { min = 1, max = 3, default = 3 }, -- as wired
    -- Without any read for this long the charger goes to the fallback current (section 5.18).
    _timeout = { unit = "s", min = 10, max = 65535, default = 60 },
    -- Section 5.19; ABB's default of 0xFF means none: the charger then stops with an error.
    _fallbackCurrent = { unit = "A", min = 6, max = 32, default = 6 },
  },

  points = {
    -- Section 5.1: type, power, plant, week, year and number in eight bytes; shown as one number.
    { name = "serialNumber", kind = "holding", address = 16384, encoding = "uint64" },
    reading("maxCurrent", 16390, "A", 0.001), -- 4006h, set with Terra Config
    { name = "_errorCode", kind = "holding", address = 16392, encoding = "uint32", period = 2 },
    -- 400Ch: bits 0 to 6 of byte 1; bit 7 says that it charges below the commanded current.
    { name = "state", kind = "holding", address = 16396, encoding = "uint32", mask = 0x7F00,
      shift = 8, period = 2,
      values = {
        [0] = "unplugged", -- A
        [1] = "ready",     -- B1: plugged in, waits for authorization
        [2] = "suspended", -- B2: may charge, the vehicle does not take
        [3] = "ready",     -- C1: the vehicle would take, the charger does not offer
        [4] = "charging",  -- C2
        [5] = "unknown",   -- "others"
      } },
    reading("currentLimit", 16398, "A", 0.001), -- 400Eh, chosen by the charger
    reading("currentL1", 16400, "A", 0.001),
    reading("currentL2", 16402, "A", 0.001),
    reading("currentL3", 16404, "A", 0.001),
    reading("voltageL1", 16406, "V", 0.1),
    reading("voltageL2", 16408, "V", 0.1),
    reading("voltageL3", 16410, "V", 0.1),
    reading("activePower", 16412, "W", 1),

    -- 4022h: the limit that was set by Modbus; read after it is set, never polled.
    { name = "_limitShown", kind = "holding", address = 16418, encoding = "uint32", unit = "A",
      scale = 0.001, period = "never" },

    order("_limit", 16640, "uint32", "A", 0.001, 0, 32, "_limitShown"), -- 4100h
    order("_timeoutSet", 16646, "uint16", "s", 1, 10, 65535),    -- 4106h
    order("_fallbackSet", 16649, "uint16", "A", 1, 0, 32),       -- 4109h
  },

  controls = {
    withoutSetPoint = "followsMax",
    -- The way back is armed before the current is set.
    charge = {
      { point = "_timeoutSet", parameter = "_timeout" },
      { point = "_fallbackSet", parameter = "_fallbackCurrent" },
      { point = "_limit", from = "current" },
    },
    -- Section 5.15: below 6 A the session pauses, above it resumes.
    hold = {
      { point = "_timeoutSet", parameter = "_timeout" },
      { point = "_fallbackSet", parameter = "_fallbackCurrent" },
      { point = "_limit", value = 0 },
    },
    refresh = 60, -- a charger that was restarted has forgotten; reads alone keep it connected
    watchdog = { current = "_fallbackCurrent" },
    lag = 10,
    tolerance = 150,
  },
}
