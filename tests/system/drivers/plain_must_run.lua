-- A heat pump that cannot be at 0 W: a compressor that runs draws its least power or more.
return {
  api = 1, name = "plain_must_run", version = "1", manufacturer = "Test", models = { "plain" },
  type = "heatPump",
  mustRun = "_leastPower",
  link = { kinds = { "tcp" }, timeout = 0.5 },
  parameters = { ratedPower = { unit = "W", min = 0, max = 100000, default = 3000 },
                 _leastPower = { unit = "W", min = 0, max = 100000, default = 500 } },
  points = {
    { name = "activePower", kind = "holding", address = 0, encoding = "int32", unit = "W",
      period = 0.2 },
    { name = "_power", kind = "holding", address = 11, encoding = "uint32", unit = "W",
      period = "never", writable = { min = 0, max = 100000 } },
  },
  controls = {
    withoutSetPoint = "followsMax",
    charge = { { point = "_power", from = "power" } },
    hold = { { point = "_power", value = 0 } },
    lag = 1,
  },
}
