-- In the form of Shelly's Gen2 Device API, components EM and EMData, section "Status", with numbers
-- that tell the fields from each other.
local INFO = { id = "shellypro3em-f008d1d8b8b8", mac = "F008D1D8B8B8", model = "SPEM-003CEBEU",
               gen = 2, ver = "0.10.0" }
local EM = {
  id = 0, a_current = 4.029, a_voltage = 236.1, a_act_power = 951.2, a_aprt_power = 951.9,
  a_pf = 1, a_freq = 50, b_current = 4.027, b_voltage = 236.201, b_act_power = -951.1,
  b_aprt_power = 951.8, b_pf = 1, b_freq = 50, c_current = 3.03, c_voltage = 236.402,
  c_active_power = 715.4, c_act_power = 715.4, c_aprt_power = 716.2, c_pf = 1, c_freq = 50,
  total_current = 11.083, total_act_power = 715.5, total_aprt_power = 2486.7,
}

return {
  driver = "shelly_gen2_em",
  fixtures = {
    { name = "import and export on its phases", source = "Gen2 Device API, EM and EMData, Status",
      http = {
        ["GET /rpc/Shelly.GetStatus"] = {
          ["em:0"] = EM,
          ["emdata:0"] = { id = 0, total_act = 110.5, total_act_ret = 30.25 } },
        ["GET /rpc/Shelly.GetDeviceInfo"] = INFO,
      },
      expect = {
        activePower = 715.5, activePowerL1 = 951.2, activePowerL2 = -951.1,
        activePowerL3 = 715.4, voltageL1 = 236.1, voltageL2 = 236.201, voltageL3 = 236.402,
        currentL1 = 4.029, currentL2 = 4.027, currentL3 = 3.03, frequency = 50,
        apparentPower = 2486.7, energyImport = 110.5, energyExport = 30.25,
        serialNumber = "F008D1D8B8B8", firmwareVersion = "0.10.0",
      } },
    { name = "no counters", source = "the component may be missing after a reset",
      http = { ["GET /rpc/Shelly.GetStatus"] = { ["em:0"] = EM },
               ["GET /rpc/Shelly.GetDeviceInfo"] = INFO },
      expect = { energyImport = false, activePower = 715.5 } },
  },
}
