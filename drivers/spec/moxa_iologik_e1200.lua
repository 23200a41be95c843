-- What moxa_iologik_e1200 reads, by the manual: 0=OFF, 1=ON; a character in each byte.
return {
  driver = "moxa_iologik_e1200",
  fixtures = {
    { name = "the first and the fourth contact are closed",
      source = "ioLogik E1200 Series User's Manual, Modbus/TCP Default Address Mappings",
      registers = { discrete = { [0] = 1, [1] = 0, [2] = 0, [3] = 1, [4] = 0, [5] = 0, [6] = 0,
                                 [7] = 0 },
                    input = { [5000] = { 0x4531, 0x3231, 0x3000, 0, 0, 0, 0, 0, 0, 0 } } },
      expect = { model = "E1210", contact1 = 1, contact2 = 0, contact3 = 0, contact4 = 1,
                 contact5 = 0, contact6 = 0, contact7 = 0, contact8 = 0 } },
    { name = "the last one is closed",
      source = "ioLogik E1200 Series User's Manual, Modbus/TCP Default Address Mappings",
      registers = { discrete = { [0] = 0, [1] = 0, [2] = 0, [3] = 0, [4] = 0, [5] = 0, [6] = 0,
                                 [7] = 1 } },
      expect = { contact1 = 0, contact8 = 1 } },
  },
}
