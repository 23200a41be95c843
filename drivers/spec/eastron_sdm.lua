-- What eastron_sdm reads, in literals. The first voltage is the worked example of the manual
-- (43 66 33 34 is 230.2 V); the rest is IEEE 754 written by hand, in the order of its table.
return {
  driver = "eastron_sdm",
  fixtures = {
    { name = "import on L1, export on L2 and L3",
      source = "SDM630-Modbus V2 User Manual V1.6B, part Modbus Protocol",
      registers = {
        input = {
          [0] = { 0x4366, 0x3334 }, [2] = { 0x4367, 0x8000 }, [4] = { 0x4365, 0xC000 },
          [6] = { 0x4128, 0x0000 }, [8] = { 0x0000, 0x0000 }, [10] = { 0xC050, 0x0000 },
          [12] = { 0x4516, 0xF000 }, [14] = { 0xC3FA, 0x0000 }, [16] = { 0xC43A, 0xE000 },
          [52] = { 0x4491, 0xF000 }, [56] = { 0x4586, 0x6000 }, [60] = { 0xC2F0, 0x0000 },
          [62] = { 0x3F7A, 0xE148 }, [70] = { 0x4248, 0x147B }, [72] = { 0x449A, 0x5000 },
          [74] = { 0x4286, 0x8000 },
        },
        holding = { [0xFC00] = { 0x0131, 0x2D00 } },
      },
      expect = {
        voltageL1 = 230.2, voltageL2 = 231.5, voltageL3 = 229.75,
        currentL1 = 10.5, currentL2 = 0, currentL3 = -3.25,
        activePowerL1 = 2415, activePowerL2 = -500, activePowerL3 = -747.5,
        activePower = 1167.5, apparentPower = 4300, reactivePower = -120,
        powerFactor = 0.98, frequency = 50.02,
        energyImport = 1234500, energyExport = 67250, -- 1234.5 and 67.25 kWh
        serialNumber = "20000000",
      } },
    { name = "an older meter without a serial number", source = "464513 is refused",
      registers = { input = { [52] = { 0x4491, 0xF000 } } },
      expect = { activePower = 1167.5, voltageL1 = false, serialNumber = false } },
  },
}
