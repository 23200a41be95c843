-- What the device says and what that means, in literals from the maker's document or from a device.
-- `derd test @NAME@` holds the driver against it. Each published point needs one.
return {
  driver = "@NAME@",
  fixtures = {
    { name = "the example of the document", source = "TITLE OF THE API, VERSION, section",
      http = { ["GET /status"] = { power = 1234, energy = 56.7, serial = "M1-7" } },
      expect = { activePower = 1234, energyImport = 56700, serialNumber = "M1-7" } },
  },
}
