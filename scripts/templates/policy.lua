-- What this policy is for, in a sentence or two.
-- Powers are in watts: import and charging are positive, export and production are negative.
--
-- The whole format: policies/README.md.

-- What the site file sets for each instance. Devices are keys of the same cluster.
local parameters = {
  meter = { type = "device", device = "meter" },
  chargers = { type = "devices", device = "chargingStation" },
  most = { type = "number", unit = "W", min = 0, max = 100000, default = 4000 },
}

-- Called every `every` seconds after a fresh sample of the meter. `state` is plain data of yours
-- that lasts. What is returned replaces all that the call before has returned.
local function run(snapshot, params, state)
  local proposals = {}
  local grid = snapshot.devices[params.meter].activePower
  if not grid then return proposals end -- unknown or too old: ask for nothing

  -- A load limit at the grid connection: what is above it is taken off the cars.
  state.over = math.max(0, grid - params.most)
  for _, key in ipairs(params.chargers) do
    local power = snapshot.devices[key].activePower
    if power and state.over > 0 then
      proposals[key] = { device = key, maxActivePower = math.max(0, power - state.over),
                         reason = string.format("%.0f W too much at the grid", state.over) }
    end
  end
  return proposals
end

return { api = 1, name = "@NAME@", every = 5, after = "meter", parameters = parameters, run = run }
