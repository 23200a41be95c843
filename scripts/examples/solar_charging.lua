-- Solar charging from outside: reads derd's API every 5 s and gives the wallbox what is to spare.
-- Needs DERD_URL (http://127.0.0.1:8080) and DERD_TOKEN, and the packages lua-socket and lua-cjson.
-- Each wish holds for 30 s: when this program ends, for whatever reason, the wallbox goes back to
-- what others want of it.
local socket, http, ltn12 = require("socket"), require("socket.http"), require("ltn12")
local json = require("cjson")
local home = assert(os.getenv("DERD_URL"), "set DERD_URL and DERD_TOKEN") .. "/v1/clusters/home"
local function random(bits) return math.random(0, (1 << bits) - 1) end
local id = ("%08x-%04x-4%03x-8%03x-%012x"):format(random(32), random(16), random(12), random(12),
  random(48)) -- a UUID
local wish = home .. "/devices/wallbox/constraints/" .. id -- one id: renewed, never piled up
local least, start_after, stop_after = 1380, 60, 180 -- W (6 A on one phase), s, s

local function ask(method, url, body)
  local data, answer = body and json.encode(body) or "", {}
  local headers = { ["Content-Type"] = "application/json", ["Content-Length"] = #data,
    Authorization = "Bearer " .. os.getenv("DERD_TOKEN") }
  local ok, status = http.request({ method = method, url = url, headers = headers,
    source = ltn12.source.string(data), sink = ltn12.sink.table(answer) })
  if not ok or status >= 300 then error(("No: %s %s"):format(status, table.concat(answer)), 0) end
  return json.decode(table.concat(answer))
end

local on, waited = false, 0
local function step()
  local devices = {}
  for _, item in ipairs(ask("GET", home .. "/flexibility").items) do devices[item.key] = item end
  local grid, wallbox = devices.grid, devices.wallbox
  local silent = grid.activePower == json.null or grid.invalidAt < os.date("!%Y-%m-%dT%H:%M:%SZ")
  if silent then error("The grid meter is silent: no wish.", 0) end
  local spare = (tonumber(wallbox.activePower) or 0) - grid.activePower -- import is positive
  waited = (spare >= least) == on and 0 or waited + 5
  if waited > (on and stop_after or start_after) then on, waited = not on, 0 end
  local power = on and math.floor(math.max(spare, least)) or 0
  ask("PUT", wish, { priority = 1500, activePower = power, validFor = 30, onConflict = "clamp",
    reason = ("%.0f W to spare"):format(spare) })
  print(("%.0f W to spare, the car is %s: %d W asked for."):format(spare, wallbox.state, power))
end

repeat
  local ok, why = pcall(step)
  if not ok then print(why) end
  local go_on = (ok or not tostring(why):find("interrupted")) and pcall(socket.sleep, 5)
until not go_on -- Ctrl-C
print("Ended: the last wish lapses within 30 s.")
