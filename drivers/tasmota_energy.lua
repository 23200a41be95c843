-- Plugs and meters with Tasmota firmware and an energy sensor, by MQTT. The site's link names the
-- device's topic: mqtt://broker/tasmota_5A9AE8
--
-- Source: Tasmota documentation, "MQTT" (tele/%topic%/SENSOR is published each TelePeriod) and
-- "Power Monitoring" (ENERGY: Total in kWh, Power in W, Voltage, Current, Factor, ApparentPower in
-- VA, ReactivePower in var). TelePeriod is 300 s as delivered: set it to 10, the least ("TelePeriod
-- 10" in the console), for values that can be used. Several channels are told as lists.

local TOPIC = "tele/{}/SENSOR"

local function sum(value)
  if type(value) ~= "table" then return value end
  local all = 0
  for _, one in ipairs(value) do all = all + one end
  return all
end

local function first(value)
  return type(value) == "table" and value[1] or value
end

local function read(dev)
  local payload, age = dev.mqtt:last(TOPIC)
  if not payload then return nil, age end
  local message, why = json.decode(payload)
  if not message then return nil, why end
  local energy = type(message) == "table" and message.ENERGY
  if type(energy) ~= "table" then return nil, "there is no ENERGY in what it publishes" end
  return {
    activePower = sum(energy.Power), energyImport = sum(energy.Total),
    apparentPower = sum(energy.ApparentPower), reactivePower = sum(energy.ReactivePower),
    voltageL1 = first(energy.Voltage), currentL1 = first(energy.Current),
    powerFactor = first(energy.Factor),
  }, age
end

local function value(name, unit)
  return { name = name, kind = "value", unit = unit, period = 10 }
end

return {
  api = 1,
  name = "tasmota_energy",
  version = "1.0",
  manufacturer = "Tasmota",
  models = { "energy sensor" },
  type = "meter",

  link = { kinds = { "mqtt" }, subscribe = { TOPIC } },

  points = {
    value("activePower"), value("energyImport", "kWh"), value("apparentPower"),
    value("reactivePower"), value("voltageL1"), value("currentL1"), value("powerFactor"),
  },

  hooks = { read = read },
}
