-- What sungrow_hybrid reads and writes, in literals. 32-bit values have the low word first; the
-- battery's power takes its sign from the power flow status (13001).
local SOURCE = "Sungrow, Communication Protocol of Residential Hybrid Inverter, V1.0.20"

local function battery(name, flow, raw, expected)
  return { name = name, source = SOURCE .. ", 13001 and 13022",
           registers = { input = { [13000] = flow, [13021] = raw } },
           expect = { battery = { activePower = expected } } }
end

local function state(raw, expected)
  return { name = "system state " .. raw, source = SOURCE .. ", 13000",
           registers = { input = { [12999] = raw } }, expect = { inverter = { state = expected } } }
end

return {
  driver = "sungrow_hybrid",
  fixtures = {
    { name = "sunny, charging, exporting", source = SOURCE,
      registers = {
        input = {
          [4989] = { 0x4132, 0x3335, 0x3034, 0x3135, 0x3737, 0x3000, 0, 0, 0, 0 },
          [4999] = 0x0E03, [5000] = 100, [5007] = 0xFFFB, [5016] = { 0x1170, 0x0001 },
          [5018] = { 2321, 2337, 2341 }, [5627] = 106, [12999] = 0x0040, [13000] = 0x0003,
          [13002] = { 0x86A0, 0x0001 }, [13009] = { 1500, 0 }, [13019] = 2563, [13021] = 2500,
          [13022] = { 567, 990, 215 }, [13026] = { 1219, 0 }, [13036] = { 12345, 0 },
          [13040] = { 1300, 0 }, [13045] = { 0, 1 },
        },
      },
      expect = {
        inverter = {
          serialNumber = "A2350415770", activePower = -70000, ratedPower = 10000,
          temperature = -0.5, voltageL1 = 232.1, voltageL2 = 233.7, voltageL3 = 234.1,
          state = "running", energyExport = 10000000, -- 10000.0 kWh
        },
        battery = {
          activePower = 2500, dcVoltage = 256.3, stateOfCharge = 56.7, stateOfHealth = 99,
          temperature = 21.5, energyExport = 121900, energyImport = 130000, ratedPower = 10600,
        },
        meter = { activePower = -1500, energyImport = 1234500, energyExport = 6553600 },
      } },
    { name = "importing", source = SOURCE .. ", 13010",
      registers = { input = { [13009] = { 0xFC18, 0xFFFF } } },
      expect = { meter = { activePower = 1000 } } },
    { name = "no meter connected", source = "13010 is 7FFFFFFFh then",
      registers = { input = { [13009] = { 0xFFFF, 0x7FFF } } },
      expect = { meter = { activePower = false } } },
    battery("discharging, firmware without a sign", 0x04, 2500, -2500),
    battery("discharging, firmware with a sign", 0x04, 0xF63C, -2500),
    battery("at rest", 0x01, 12, 0),
    battery("both directions at once", 0x06, 2500, false),
    state(0x0002, "off"),
    state(0x0100, "error"),
    state(0x4000, "running"),
    { name = "orders", source = SOURCE .. ", 13050 to 13052; V1.1.x, 33047 and 33048",
      registers = {
        input = { [5627] = 106 },
        holding = { [13049] = { 0, 0, 0 }, [33046] = { 1060, 1060 } },
      },
      orders = { -- the mode is switched last
        { part = "battery", activePower = 3000,
          writes = { { 33046, 1060 }, { 13051, 3000 }, { 13050, 0xAA }, { 13049, 2 } } },
        { part = "battery", activePower = -3000,
          writes = { { 33047, 1060 }, { 13051, 3000 }, { 13050, 0xBB }, { 13049, 2 } } },
        { part = "battery", activePower = 0,
          writes = { { 13051, 0 }, { 13050, 0xCC }, { 13049, 2 } } },
        { part = "battery", minActivePower = -2505, maxActivePower = 1000,
          writes = { { 33046, 100 }, { 33047, 250 }, { 13051, 0 }, { 13050, 0xCC },
                     { 13049, 0 } } },
      } },
  },
}
