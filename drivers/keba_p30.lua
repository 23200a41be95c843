-- KEBA KeContact P20 and P30 charging stations (c-series and x-series) by UDP.
--
-- Source: KEBA, "KeContact P20 / P30 UDP Programmers Guide". Commands are ASCII text without a line
-- end to port 7090, answers come to our port 7090 ("Communication"). "report 1" to "report 3" are
-- answered with JSON, commands with "TCH-OK :done": they have arrived; that they are followed is
-- shown by report 2. DIP switch DSW1.3 enables UDP.

-- UDP has no request id, but a report says which it is: what came for an earlier question is put
-- away.
local function report(dev, number)
  local text, why = dev.udp:request("report " .. number)
  for _ = 1, 4 do
    if not text then return nil, why end
    local answer = json.decode(text)
    if type(answer) == "table" and answer.ID == tostring(number) then return answer end
    text, why = dev.udp:receive()
  end
  return nil, "what came is no report " .. number
end

-- Report 2: plug below 5 means that no vehicle is connected to the cable.
local STATES = { [0] = "starting", [1] = "suspended", [2] = "ready", [3] = "charging",
                 [4] = "error", [5] = "suspended" }

local function read(dev)
  local two, why = report(dev, 2)
  if not two then return nil, why end
  local three
  three, why = report(dev, 3)
  if not three then return nil, why end
  local values = {
    state = two.Plug < 5 and "unplugged" or STATES[two.State],
    maxCurrent = two["Curr HW"], currentLimit = two["Curr user"],
    _enabled = two["Enable user"], _timeoutShown = two["Tmo FS"], _fallbackShown = two["Curr FS"],
    activePower = three.P, energyImport = three["E total"],
    currentL1 = three.I1, currentL2 = three.I2, currentL3 = three.I3,
    voltageL1 = three.U1, voltageL2 = three.U2, voltageL3 = three.U3,
  }
  if dev.due.serialNumber then
    local one
    one, why = report(dev, 1)
    if not one then return nil, why end
    values.serialNumber, values.firmwareVersion = one.Serial, one.Firmware
  end
  return values
end

local function send(dev, text)
  local answer, why = dev.udp:request(text)
  for _ = 1, 4 do
    if not answer then return nil, why end
    if answer:find("TCH-OK", 1, true) then return true end
    if answer:find("TCH-ERR", 1, true) then return nil, text .. " was answered with " .. answer end
    answer, why = dev.udp:receive()
  end
  return nil, "no answer to " .. text
end

local function write(dev, writes)
  local timeout
  for _, w in ipairs(writes) do
    local text
    if w.point == "_timeout" then timeout = w.raw
    elseif w.point == "_fallback" then text = ("failsafe %d %d 0"):format(timeout, w.raw)
    elseif w.point == "_current" then text = ("curr %d"):format(w.raw)
    else text = ("ena %d"):format(w.raw) end
    if text then
      local ok, why = send(dev, text)
      if not ok then return nil, why end
    end
  end
  return true
end

local function value(name, unit, scale, period)
  return { name = name, kind = "value", unit = unit, scale = scale, period = period or 2 }
end

local function order(name, unit, scale, min, max, shown)
  return { name = name, kind = "value", encoding = "uint32", unit = unit, scale = scale,
           writable = { min = min, max = max }, readBack = shown }
end

return {
  api = 1,
  name = "keba_p30",
  version = "1.0",
  manufacturer = "KEBA",
  models = { "KC-P20", "KC-P30" },
  type = "chargingStation",

  link = { kinds = { "udp" }, localPort = 7090, timeout = 1, pause = 0.1 },

  parameters = {
    phases = { min = 1, max = 3, default = 3 }, -- as wired
    -- Without a command for this long the station goes to the fallback current ("failsafe").
    _timeout = { unit = "s", min = 10, max = 600, default = 60 },
    _fallbackCurrent = { unit = "A", min = 6, max = 32, default = 6 },
  },

  points = {
    { name = "state", kind = "value", period = 2 },
    value("activePower", "W", 0.001),                        -- P in mW
    value("energyImport", "Wh", 0.1),                        -- E total, without the running session
    value("currentL1", "A", 0.001), value("currentL2", "A", 0.001), value("currentL3", "A", 0.001),
    value("voltageL1"), value("voltageL2"), value("voltageL3"),
    value("maxCurrent", "A", 0.001),                         -- Curr HW: DIP switches, cable
    value("currentLimit", "A", 0.001),                       -- Curr user
    value("_enabled"), value("_timeoutShown", "s"), value("_fallbackShown", "A", 0.001),
    { name = "serialNumber", kind = "value" },
    { name = "firmwareVersion", kind = "value" },

    order("_timeout", "s", 1, 10, 600, "_timeoutShown"),     -- failsafe
    order("_fallback", "A", 0.001, 0, 32, "_fallbackShown"),
    order("_current", "A", 0.001, 6, 63, "currentLimit"),    -- curr: 6000 to 63000 mA
    order("_enable", "", 1, 0, 1, "_enabled"),               -- ena
  },

  controls = {
    withoutSetPoint = "followsMax",
    -- The way back is armed before the current is set, and the current before it may flow.
    charge = {
      { point = "_timeout", parameter = "_timeout" },
      { point = "_fallback", parameter = "_fallbackCurrent" },
      { point = "_current", from = "current" },
      { point = "_enable", value = 1 },
    },
    hold = {
      { point = "_timeout", parameter = "_timeout" },
      { point = "_fallback", parameter = "_fallbackCurrent" },
      { point = "_enable", value = 0 },
    },
    refresh = 20, -- a station that has gone to its fallback wants curr and ena again
    watchdog = { current = "_fallbackCurrent" },
    lag = 10,
    tolerance = 150,
  },

  hooks = { read = read, write = write },
}
