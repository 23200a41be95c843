local SOURCE = "Tasmota documentation, Power Monitoring"

return {
  driver = "tasmota_energy",
  fixtures = {
    { name = "a plug", source = SOURCE,
      mqtt = { ["tele/kit/SENSOR"] = {
        Time = "2018-01-17T18:59:50",
        ENERGY = { Total = 1.956, Yesterday = 0.054, Today = 0.049, Power = 9, Factor = 0.43,
                   ApparentPower = 21, ReactivePower = 19, Voltage = 231, Current = 0.089 } } },
      expect = { activePower = 9, energyImport = 1956, apparentPower = 21, reactivePower = 19,
                 voltageL1 = 231, currentL1 = 0.089, powerFactor = 0.43 } },
    { name = "two channels", source = SOURCE,
      mqtt = { ["tele/kit/SENSOR"] = {
        ENERGY = { Total = { 1.5, 2.5 }, Power = { 100, 20 }, Voltage = 230,
                   Current = { 0.43, 0.09 } } } },
      expect = { activePower = 120, energyImport = 4000, currentL1 = 0.43, powerFactor = false } },
  },
}
