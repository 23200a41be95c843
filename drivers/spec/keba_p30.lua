-- The guide prints no whole answer. What it does print is expected literally: the state and plug
-- tables, the commands, the units, and the ends of each range ("the ends of the ranges"). Between
-- them stand the answers of a station in use, as published in OpenEMS' tests of its own client;
-- they bear out the units: 228 V x 9.075 A x 0.905 is the power that it shows.
local GUIDE = "KeContact P30 UDP Programmers Guide V2.01, 3.2.2 to 3.2.4 (reports), 3.3 (failsafe)"
local LIVE = "a KC-P30-EC240422-E00 in use; units: the guide, 3.2.4"

local ONE = [[{"ID": "1", "Product": "KC-P30-EC240422-E00", "Serial": "22054282",
"Firmware":"P30 v 3.10.57 (240521-093236)", "COM-module": 0, "Backend": 0, "timeQ": 3,
"setBoot": 0, "DIP-Sw1": "0x25", "DIP-Sw2": "0x02", "Sec": 530786}]]

local function two(state, plug, user)
  return '{"ID": "2", "State": ' .. state .. ', "Error1": 0, "Error2": 0, "Plug": ' .. plug ..
    [[, "AuthON": 0, "Authreq": 0, "Enable sys": 0, "Enable user": 1, "Max curr": 0,
"Max curr %": 1000, "Curr HW": 32000, "Curr user": ]] .. user .. [[, "Curr FS": 6000,
"Tmo FS": 60, "Curr timer": 0, "Tmo CT": 0, "Setenergy": 0, "Output": 0, "Input": 0,
"X2 phaseSwitch source": 0, "X2 phaseSwitch": 0, "Serial": "22054282", "Sec": 530786}]]
end

local function three(u, i, power, energy)
  return '{"ID": "3", "U1": ' .. u[1] .. ', "U2": ' .. u[2] .. ', "U3": ' .. u[3] ..
    ', "I1": ' .. i[1] .. ', "I2": ' .. i[2] .. ', "I3": ' .. i[3] .. ', "P": ' .. power ..
    ', "PF": 905, "E pres": 65302, "E total": ' .. energy ..
    ', "Serial": "22054282", "Sec": 534926}'
end

local function answers(report2, report3)
  return { ["report 1"] = ONE, ["report 2"] = report2, ["report 3"] = report3,
           ["curr *"] = "TCH-OK :done\n", ["ena *"] = "TCH-OK :done\n",
           ["failsafe *"] = "TCH-OK :done\n" }
end

local ONE_PHASE = three({ 228, 227, 0 }, { 9075, 0, 0 }, 1866156, 77478335)

local function state(name, raw, plug, expected)
  return { name = name, source = GUIDE, udp = answers(two(raw, plug, 10000), ONE_PHASE),
           expect = { state = expected } }
end

return {
  driver = "keba_p30",
  fixtures = {
    { name = "a vehicle charges on one phase", source = LIVE,
      udp = answers(two(3, 7, 10000), ONE_PHASE),
      expect = {
        state = "charging", activePower = 1866.156, energyImport = 7747833.5,
        currentL1 = 9.075, currentL2 = 0, currentL3 = 0,
        voltageL1 = 228, voltageL2 = 227, voltageL3 = 0,
        maxCurrent = 32, currentLimit = 10,
        serialNumber = "22054282", firmwareVersion = "P30 v 3.10.57 (240521-093236)",
      } },
    { name = "the ends of the ranges", source = GUIDE,
      udp = answers(two(3, 7, 63000), three({ 228, 227, 0 }, { 9075, 0, 0 }, 1866156, 999999999)),
      -- 999999999 is 99999999.9 Wh; Curr HW ends at 32000 mA, Curr user at 63000 mA.
      expect = { energyImport = 99999999.9, maxCurrent = 32, currentLimit = 63 } },
    { name = "a vehicle charges on two phases", source = "figures of ours, in that form",
      udp = answers(two(3, 7, 16000),
                    three({ 230, 231, 229 }, { 15987, 16012, 0 }, 7360123, 12345678)),
      expect = { activePower = 7360.123, currentL2 = 16.012, voltageL3 = 229 },
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
