-- MAKER MODEL by HTTP.
--
-- Source: MAKER, "TITLE OF THE API", VERSION, section. Cite it at each field that is not plain.
--
-- The whole format, with every default: drivers/README.md.

-- What comes in place of an answer is told as nil and a reason: the device counts as silent then.
local function ask(dev, path)
  local answer, why = dev.http:get(path)
  if not answer then return nil, why end
  if answer.status ~= 200 then return nil, path .. " was answered with status " .. answer.status end
  return answer:json()
end

-- Called as often as the shortest period below; may wait, and nobody waits with it.
local function read(dev)
  local status, why = ask(dev, "/status")
  if not status then return nil, why end
  if not status.power then return nil, "there is no power in /status" end
  local values = { activePower = status.power, energyImport = status.energy }
  if dev.due.serialNumber then values.serialNumber = status.serial end
  return values
end

return {
  api = 1,
  name = "@NAME@", -- the file's name without .lua
  version = "0.1",
  manufacturer = "MAKER",
  models = { "MODEL" },
  type = "meter", -- or "inverter", "battery", "chargingStation", "heatPump"

  link = {
    kinds = { "http" }, -- or "udp", "line", "mqtt"
    timeout = 3,        -- s for one answer
    -- auth = "basic",  -- or "digest", "bearer": the site file has the user and the password's file
  },

  -- Raw values that `read` returns, with what they mean. Names, units, ranges: GET /v1/vocabulary.
  -- Import is positive: `scale = -1` turns a sign round.
  points = {
    { name = "activePower", kind = "value", period = 2 },
    { name = "energyImport", kind = "value", unit = "kWh", period = 10 },
    { name = "serialNumber", kind = "value" }, -- once
  },

  hooks = { read = read },
}
