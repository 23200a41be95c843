-- Eastron three-phase meters SDM630-Modbus (V2) and SDM72D-M-2, over a Modbus TCP gateway or a
-- serial line.
--
-- Sources:
--   "SDM630-Modbus V2 User Manual", V1.6B, part "Modbus Protocol": input registers 30001 and up.
--   "Eastron SDM72D-M-2 Modbus Protocol": the same addresses.
-- An address here is what stands on the wire: register 30001 is 0.
--
-- Every value is a float32 in two registers, high word first. Power, power factor and energy count
-- import as positive, as derd does.

local function float(name, address, unit)
  return { name = name, kind = "input", address = address, encoding = "float32", unit = unit,
           period = 1 }
end

return {
  api = 1,
  name = "eastron_sdm",
  version = "1.0",
  manufacturer = "Eastron",
  models = { "SDM630-Modbus", "SDM630-Modbus V2", "SDM72D-M-2" },
  type = "meter",

  link = {
    kinds = { "tcp", "serial" },
    -- "Each request for data must be restricted to 40 parameters or less": 80 registers.
    maxBlock = 80,
    -- The whole table up to the energies is one read of 76 registers, gaps included.
    maxGap = 12,
  },

  points = {
    float("voltageL1", 0, "V"),
    float("voltageL2", 2, "V"),
    float("voltageL3", 4, "V"),
    float("currentL1", 6, "A"),
    float("currentL2", 8, "A"),
    float("currentL3", 10, "A"),
    float("activePowerL1", 12, "W"),
    float("activePowerL2", 14, "W"),
    float("activePowerL3", 16, "W"),
    float("activePower", 52, "W"),    -- 30053 total system power
    float("apparentPower", 56, "VA"), -- 30057 total system volt amps
    float("reactivePower", 60, "var"), -- 30061 total system VAr
    float("powerFactor", 62, ""),     -- 30063 total system power factor
    float("frequency", 70, "Hz"),     -- 30071 frequency of supply voltages
    float("energyImport", 72, "kWh"), -- 30073 total import
    float("energyExport", 74, "kWh"), -- 30075 total export
    -- 464513 serial number, unsigned 32 bit. Older meters refuse it: then it stays unknown.
    { name = "serialNumber", kind = "holding", address = 0xFC00, encoding = "uint32" },
  },
}
