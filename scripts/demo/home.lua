-- The home of `derd demo`: a roof with 9 kW of panels, a house, a small battery and a car.
-- Sun and load run 30 times as fast as the clock: the day begins at ten in the morning, from eleven
-- on the inverter is at its 8 kW, and it is dark after about twenty minutes. Then the next morning
-- comes.
return {
  speed = 30,
  start = "10:00",
  seed = 7,
  listeners = {
    { name = "gateway", port = 15020 },
    { name = "roof",    port = 15021 },
    { name = "wallbox", port = 15022 },
  },
  sun  = { peak = 9000, clouds = 0.03 },
  load = { base = 380, peaks = 250 },
  devices = {
    { make = "eastron_sdm630", name = "grid", listener = "gateway", unit = 1,
      measures = "grid", noise = 3, serial = "21450731" },
    { make = "sungrow_sh", name = "battery", listener = "gateway", unit = 2,
      ratedPower = 5000, capacity = 9600, stateOfCharge = 55,
      maxChargePower = 2000, maxDischargePower = 2000, lag = 1, serial = "A2311105873" },
    { make = "sunspec_inverter", name = "roof", listener = "roof", unit = 126,
      ratedPower = 8000, peakPower = 9000, lag = 1, serial = "34120967" },
    { make = "abb_terra_ac", name = "wallbox", listener = "wallbox", unit = 1,
      phases = 3, maxCurrent = 16, serial = "2203114562", currentLimit = 0, fallbackCurrent = 0,
      car = { phases = 3, maxCurrent = 16, capacity = 60000, stateOfCharge = 40,
              startDelay = 3 } },
  },
}
