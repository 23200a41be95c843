-- Shelly energy meters of the second generation and later, in their profile of three phases (Pro
-- 3EM, 3EM-63 Gen3), by HTTP.
--
-- Source: Shelly, "Gen2 Device API" (shelly-api-docs.shelly.cloud/gen2): Shelly.GetStatus gives the
-- status of each component under its name, "em:0" and "emdata:0" here; components EM and EMData,
-- section "Status"; Shelly.GetDeviceInfo. Powers are positive while importing, currents have no
-- sign. Authentication is digest with SHA-256, the user is always "admin" (Gen2, "Authentication").

local function ask(dev, path)
  local answer, why = dev.http:get(path)
  if not answer then return nil, why end
  if answer.status ~= 200 then return nil, path .. " was answered with status " .. answer.status end
  return answer:json()
end

local function read(dev)
  local status, why = ask(dev, "/rpc/Shelly.GetStatus")
  if not status then return nil, why end
  local em = type(status) == "table" and status["em:0"]
  if not em then return nil, "there is no component em:0: is the profile that of three phases?" end
  local values = {
    activePower = em.total_act_power,
    activePowerL1 = em.a_act_power, activePowerL2 = em.b_act_power, activePowerL3 = em.c_act_power,
    voltageL1 = em.a_voltage, voltageL2 = em.b_voltage, voltageL3 = em.c_voltage,
    currentL1 = em.a_current, currentL2 = em.b_current, currentL3 = em.c_current,
    frequency = em.a_freq, apparentPower = em.total_aprt_power,
  }
  local data = status["emdata:0"]
  if data then values.energyImport, values.energyExport = data.total_act, data.total_act_ret end
  if dev.due.serialNumber then
    local info
    info, why = ask(dev, "/rpc/Shelly.GetDeviceInfo")
    if not info then return nil, why end
    values.serialNumber, values.firmwareVersion = info.mac, info.ver
  end
  return values
end

local function value(name, period)
  return { name = name, kind = "value", period = period }
end

return {
  api = 1,
  name = "shelly_gen2_em",
  version = "1.0",
  manufacturer = "Shelly",
  models = { "Pro 3EM", "Pro 3EM-400", "3EM-63 Gen3" },
  type = "meter",

  link = { kinds = { "http" }, auth = "digest", timeout = 3 },

  points = {
    value("activePower", 1),
    value("activePowerL1", 1), value("activePowerL2", 1), value("activePowerL3", 1),
    value("voltageL1", 1), value("voltageL2", 1), value("voltageL3", 1),
    value("currentL1", 1), value("currentL2", 1), value("currentL3", 1),
    value("frequency", 1), value("apparentPower", 1),
    value("energyImport", 1), value("energyExport", 1), -- Wh (EMData, "Status")
    value("serialNumber", "once"), value("firmwareVersion", "once"),
  },

  hooks = { read = read },
}
