-- What @NAME@ reads, in literals: what the manual says that stands in the registers, and what it
-- means. `derd test` serves these registers and compares; each published point needs a value here.
return {
  driver = "@NAME@",
  fixtures = {
    { name = "the example of the manual",
      source = "TITLE OF THE MANUAL, VERSION, page",
      registers = { -- [address] = word, or = { word, word }
        input = { [0] = { 0x4366, 0x3333 }, [52] = { 0x4491, 0xF000 }, [72] = { 0x449A, 0x5000 },
                  [80] = 500 },
        holding = { [100] = { 0x5331, 0x3233, 0, 0, 0, 0, 0, 0 } }, -- "S123"
      },
      expect = { voltageL1 = 230.2, activePower = 1167.5, energyImport = 1234500, frequency = 50,
                 serialNumber = "S123" } },
    { name = "the marker for no value is unknown, not a number",
      registers = { input = { [80] = 0xFFFF } },
      expect = { frequency = false } }, -- false: unknown
  },
}
