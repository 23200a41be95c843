-- A meter with the power in all and on each phase.
return {
  api = 1, name = "plain_meter", version = "1", manufacturer = "Test", models = { "plain" },
  type = "meter",
  link = { kinds = { "tcp" }, timeout = 0.5 },
  points = {
    { name = "activePower", kind = "holding", address = 0, encoding = "int32", unit = "W",
      period = 0.2 },
    { name = "activePowerL1", kind = "holding", address = 2, encoding = "int32", unit = "W",
      period = 0.2 },
    { name = "activePowerL2", kind = "holding", address = 4, encoding = "int32", unit = "W",
      period = 0.2 },
    { name = "activePowerL3", kind = "holding", address = 6, encoding = "int32", unit = "W",
      period = 0.2 },
  },
}
