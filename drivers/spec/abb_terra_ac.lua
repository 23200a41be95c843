-- What abb_terra_ac reads and writes, in literals. Source of all: ABB, "Terra AC Charger Modbus
-- Communication", v1.11, section 5; the serial number is the example of section 5.1.
local SOURCE = "Terra AC Charger Modbus Communication v1.11, section 5"

local function state(name, word, expected)
  return { name = name, source = SOURCE .. ", 400Ch",
           registers = { holding = { [0x400C] = { 0x0000, word } } },
           expect = { state = expected } }
end

return {
  driver = "abb_terra_ac",
  fixtures = {
    { name = "charging", source = SOURCE,
      registers = {
        holding = {
          [0x4000] = { 0x5422, 0x0400, 0x4920, 0x0025 }, -- TACW22-4-4920-T0025
          [0x4006] = { 0x0000, 0x7D00 }, [0x4008] = { 0, 0 }, [0x400C] = { 0x0000, 0x8400 },
          [0x400E] = { 0x0000, 0x3E80 }, [0x4010] = { 0x0000, 0x3A98 },
          [0x4012] = { 0x0000, 0x0001 }, [0x4014] = { 0x0001, 0x0000 },
          [0x4016] = { 0x0000, 0x08FC }, [0x4018] = { 0x0000, 0x0905 },
          [0x401A] = { 0x0000, 0x0000 }, [0x401C] = { 0x0000, 0x2B20 },
        },
      },
      expect = {
        serialNumber = "6062412447667453989", maxCurrent = 32, state = "charging",
        currentLimit = 16, currentL1 = 15, currentL2 = 0.001, currentL3 = 65.536,
        voltageL1 = 230, voltageL2 = 230.9, voltageL3 = 0, activePower = 11040,
      } },
    state("nothing plugged in", 0x0000, "unplugged"),
    state("waits for authorization", 0x0100, "ready"),
    state("the vehicle does not take", 0x0200, "suspended"),
    state("the charger does not offer", 0x8300, "ready"),
    state("others", 0x0500, "unknown"),
    { name = "orders", source = SOURCE .. ".15, .18, .19",
      registers = {
        holding = { [0x4006] = { 0x0000, 0x7D00 }, [0x4016] = { 0x0000, 0x08FC },
                    [0x4022] = { 0, 0 }, [0x4100] = { 0, 0 }, [0x4106] = 0, [0x4109] = 0 },
      },
      orders = { -- 4140 W on three phases at 230 V are 6000 mA; the way back is armed first
        { activePower = 4140, writes = { { 0x4106, 60 }, { 0x4109, 6 }, { 0x4100, 0, 6000 } } },
        { activePower = 0, writes = { { 0x4106, 60 }, { 0x4109, 6 }, { 0x4100, 0, 0 } } },
      } },
  },
}
