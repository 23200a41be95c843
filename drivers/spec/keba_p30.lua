local SOURCE = "KeContact P20 / P30 UDP Programmers Guide, reports 1 to 3"

local ONE = [[{"ID": "1", "Product": "KC-P30-ES240022-E0R", "Serial": "17619300",
"Firmware": "P30 v 3.10.16 (200205)", "COM-module": 0, "Sec": 12345}]]
local TWO = [[, "Error1": 0, "Error2": 0, "AuthON": 0,
"Authreq": 0, "Enable sys": 1, "Enable user": 1, "Max curr": 16000, "Max curr %": 266,
"Curr HW": 32000, "Curr user": 16000, "Curr FS": 6000, "Tmo FS": 60, "Curr timer": 0,
"Tmo CT": 0, "Setenergy": 0, "Output": 0, "Input": 0, "Serial": "17619300", "Sec": 12345}]]
local THREE = [[{"ID": "3", "U1": 230, "U2": 231, "U3": 229, "I1": 15987, "I2": 16012, "I3": 0,
"P": 7360123, "PF": 991, "E pres": 51234, "E total": 12345678, "Serial": "17619300",
"Sec": 12345}]]

local function answers(state, plug)
  return { ["report 1"] = ONE, ["report 3"] = THREE,
           ["report 2"] = '{"ID": "2", "State": ' .. state .. ', "Plug": ' .. plug .. TWO,
           ["curr *"] = "TCH-OK :done\n", ["ena *"] = "TCH-OK :done\n",
           ["failsafe *"] = "TCH-OK :done\n" }
end

local function state(name, raw, plug, expected)
  return { name = name, source = SOURCE, udp = answers(raw, plug), expect = { state = expected } }
end

return {
  driver = "keba_p30",
  fixtures = {
    { name = "a vehicle charges on two phases", source = SOURCE, udp = answers(3, 7),
      expect = {
        state = "charging", activePower = 7360.123, energyImport = 1234567.8,
        currentL1 = 15.987, currentL2 = 16.012, currentL3 = 0,
        voltageL1 = 230, voltageL2 = 231, voltageL3 = 229,
        maxCurrent = 32, currentLimit = 16,
        serialNumber = "17619300", firmwareVersion = "P30 v 3.10.16 (200205)",
      },
      orders = {
        -- 2760 W on two phases at 230 V are 6 A each.
        { activePower = 2760, sent = { "failsafe 60 6000 0", "curr 6000", "ena 1" } },
        { activePower = 0, sent = { "failsafe 60 6000 0", "ena 0" } },
      } },
    state("nothing plugged in", 1, 1, "unplugged"),
    state("cable locked, no vehicle", 1, 3, "unplugged"),
    state("waits for the vehicle", 2, 7, "ready"),
    state("not enabled", 1, 7, "suspended"),
    state("an error", 4, 7, "error"),
  },
}
