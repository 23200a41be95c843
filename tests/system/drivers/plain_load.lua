-- A load that can be told any power from 0 to its rating: a heat pump with a power register.
return {
  api = 1, name = "plain_load", version = "1", manufacturer = "Test", models = { "plain" },
  type = "heatPump",
  link = { kinds = { "tcp" }, timeout = 0.5 },
  parameters = { ratedPower = { unit = "W", min = 0, max = 100000, default = 11000 } },
  points = {
    { name = "activePower", kind = "holding", address = 0, encoding = "int32", unit = "W",
      period = 0.2 },
    { name = "_power", kind = "holding", address = 11, encoding = "uint32", unit = "W",
      period = "never",
      writable = { min = 0, max = 100000 } },
  },
  controls = {
    withoutSetPoint = "followsMax",
    charge = { { point = "_power", from = "power" } },
    hold = { { point = "_power", value = 0 } },
    lag = 1,
  },
}
