-- The site of `derd demo`: the simulated home of home.lua, as an integrator would write it down.
return {
  http = { listen = "127.0.0.1:8080" },
  store = { directory = "state" },
  clusters = {
    { key = "home", name = "Wall Street 5", account = "owner",
      devices = {
        { key = "grid", name = "Grid meter", driver = "eastron_sdm", role = "grid",
          link = "tcp://127.0.0.1:15020", unit = 1 },
        { key = "battery", name = "Battery", driver = "sungrow_hybrid", as = "battery",
          link = "tcp://127.0.0.1:15020", unit = 2,
          parameters = { maxChargePower = 2000, maxDischargePower = 2000, capacity = 9600 } },
        { key = "roof", name = "PV on the roof", driver = "sunspec", as = "inverter",
          link = "tcp://127.0.0.1:15021", unit = 126 },
        -- Nothing wanted means no charging: the car gets what the policy below gives it.
        { key = "wallbox", name = "Wallbox", driver = "abb_terra_ac",
          link = "tcp://127.0.0.1:15022", unit = 1, fallback = { activePower = 0 },
          limits = { maxCurrent = 16 } },
      },
      policies = {
        { key = "solar", policy = "solar_charging", priority = 500, grid = "grid",
          chargers = { "wallbox" }, battery = "battery", startDelay = 10, stopDelay = 60 },
      } } } }
