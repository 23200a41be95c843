-- MAKER MODEL over Modbus TCP.
--
-- Source: MAKER, "TITLE OF THE MANUAL", VERSION, section or pages. Cite it at each register that is
-- not plain. An address here is what stands on the wire: a manual's 30001 or 40001 is 0.
--
-- The whole format, with every default: drivers/README.md.

-- One line for each value of the same kind.
local function float(name, address, unit)
  return { name = name, kind = "input", address = address, encoding = "float32", unit = unit }
end

return {
  api = 1,
  name = "@NAME@", -- the file's name without .lua
  version = "0.1",
  manufacturer = "MAKER",
  models = { "MODEL" },
  type = "meter", -- or "inverter", "battery", "chargingStation", "heatPump"

  link = {
    kinds = { "tcp" },
    timeout = 1,   -- s for one answer
    maxBlock = 80, -- registers in one read that the maker allows
    maxGap = 8,    -- registers read for nothing to join two values
  },

  -- What only this device has: `derd probe` finds the driver by it. All rows must match.
  -- fingerprints = { { kind = "holding", address = 0, encoding = "uint16", equals = 1234 } },

  -- Names, units, ranges: GET /v1/vocabulary. Import is positive: `scale = -1` turns a sign round.
  points = {
    float("voltageL1", 0, "V"),
    float("activePower", 52, "W"),
    float("energyImport", 72, "kWh"), -- the host turns kWh into Wh
    -- An integer in tenths, with the raw value that means "no value":
    { name = "frequency", kind = "input", address = 80, encoding = "uint16", unit = "Hz",
      scale = 0.1, notAvailable = { 0xFFFF } },
    { name = "serialNumber", kind = "holding", address = 100, encoding = "string", length = 8 },
  },
}
