-- Charges cars with the power that the house would otherwise feed into the grid.
-- Powers are in watts: import and charging are positive, export and production are negative.

local uses = {
  grid = { type = "device", device = "meter" },
  chargers = { type = "devices", device = "chargingStation" }, -- the first is served first
  battery = { type = "device", device = "battery", required = false }, -- cars go before it
  startDelay = { type = "number", unit = "s", min = 0, max = 3600, default = 60 },
  stopDelay = { type = "number", unit = "s", min = 0, max = 3600, default = 180 },
  reserve = { type = "number", unit = "W", min = -10000, max = 10000, default = 0 }, -- to export
  minCurrent = { type = "number", unit = "A", min = 6, max = 32, default = 6 }, -- on each phase
}

local function run(snapshot, params, state)
  local devices, proposals = snapshot.devices, {}
  local grid, battery = devices[params.grid].activePower, devices[params.battery] or {}
  if not grid then return {} end -- the meter is silent: ask for nothing

  -- To spare is what flows into the grid, into the battery (negative: out of it) and into the cars.
  local spare = (battery.activePower or 0) - grid - params.reserve
  for _, key in ipairs(params.chargers) do spare = spare + (devices[key].activePower or 0) end

  -- Each car gets its least power, once that was there (or was missing) for longer than the delay.
  for _, key in ipairs(params.chargers) do
    local station, car = devices[key], state[key] or { on = false, waited = 0 }
    local least = station.leastActivePower or params.minCurrent * 230 * (station.phases or 3)
    local enough, delay = spare >= least, car.on and params.stopDelay or params.startDelay
    car.waited = enough == car.on and 0 or car.waited + snapshot.elapsed
    if car.waited > delay then car.on, car.waited = enough, 0 end
    if station.stale or station.state == "unplugged" then
      state[key] = nil -- nothing to charge: begin anew when there is
    else
      local reason = string.format("%.0f W to spare, at least %.0f W needed", spare, least)
      local power = car.on and least or 0
      state[key], spare = car, spare - power
      proposals[key] = { device = key, activePower = power, reason = reason }
    end
  end

  -- What is left after that goes to the cars that are on, as much as each can take.
  for _, key in ipairs(params.chargers) do
    local wish, most = proposals[key], devices[key].maxActivePower or math.huge
    if wish and wish.activePower > 0 then
      local more = math.max(0, math.min(spare, most - wish.activePower))
      wish.activePower, spare = wish.activePower + more, spare - more
    end
  end
  return proposals
end

return { api = 1, name = "solar_charging", every = 5, after = "grid", parameters = uses, run = run }
