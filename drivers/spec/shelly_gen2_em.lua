-- Shelly, Gen2 Device API: what the examples of Shelly.GetDeviceInfo and of EM.GetStatus print,
-- figure by figure. The latter calls one field c_active_power, while the table above it and the
-- devices say c_act_power: both stand here. In the example of EMData.GetStatus every counter is 0.
local INFO = { id = "shellypro4pm-f008d1d8b8b8", mac = "F008D1D8B8B8", model = "SPSW-004PE16EU",
               gen = 2, ver = "0.6.7" }
local EM = {
  id = 0, a_current = 4.029, a_voltage = 236.1, a_act_power = 951.2, a_aprt_power = 951.9,
  a_pf = 1, a_freq = 50, b_current = 4.027, b_voltage = 236.201, b_act_power = -951.1,
  b_aprt_power = 951.8, b_pf = 1, b_freq = 50, c_current = 3.03, c_voltage = 236.402,
  c_active_power = 715.4, c_act_power = 715.4, c_aprt_power = 716.2, c_pf = 1, c_freq = 50,
  n_current = 11.029, total_current = 11.083, total_act_power = 2484.782,
  total_aprt_power = 2486.7,
}

-- Counters as a Pro 3EM in use sent them (NotifyStatus, published by the makers of EDDIE's AIIDA).
local EMDATA = {
  id = 0, a_total_act_energy = 0.06, a_total_act_ret_energy = 0, b_total_act_energy = 0.06,
  b_total_act_ret_energy = 0.01, c_total_act_energy = 26289.44, c_total_act_ret_energy = 131881.85,
  total_act = 26289.57, total_act_ret = 131881.86,
}

local function answers(emdata)
  return { ["GET /rpc/Shelly.GetStatus"] = { ["em:0"] = EM, ["emdata:0"] = emdata },
           ["GET /rpc/Shelly.GetDeviceInfo"] = INFO }
end

return {
  driver = "shelly_gen2_em",
  fixtures = {
    { name = "the examples of the manual", source = "Gen2 Device API, EM and EMData, GetStatus",
      http = answers({ id = 0, total_act = 0, total_act_ret = 0 }),
      expect = {
        activePower = 2484.782, activePowerL1 = 951.2, activePowerL2 = -951.1,
        activePowerL3 = 715.4, voltageL1 = 236.1, voltageL2 = 236.201, voltageL3 = 236.402,
        currentL1 = 4.029, currentL2 = 4.027, currentL3 = 3.03, frequency = 50,
        apparentPower = 2486.7, energyImport = 0, energyExport = 0,
        serialNumber = "F008D1D8B8B8", firmwareVersion = "0.6.7",
      } },
    { name = "counters in use", source = "a Pro 3EM, EMData", http = answers(EMDATA),
      expect = { energyImport = 26289.57, energyExport = 131881.86 } },
    { name = "no counters", source = "the component may be missing after a reset",
      http = answers(nil),
      expect = { energyImport = false, activePower = 2484.782 } },
  },
}
