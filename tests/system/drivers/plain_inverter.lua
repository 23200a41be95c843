-- A PV inverter that takes a limit in watts.
return {
  api = 1, name = "plain_inverter", version = "1", manufacturer = "Test", models = { "plain" },
  type = "inverter",
  link = { kinds = { "tcp" }, timeout = 0.5 },
  parameters = { ratedPower = { unit = "W", min = 0, max = 100000, default = 10000 } },
  points = {
    { name = "activePower", kind = "holding", address = 0, encoding = "int32", unit = "W",
      period = 0.2 },
    { name = "_limit", kind = "holding", address = 11, encoding = "uint32", unit = "W",
      period = "never",
      writable = { min = 0, max = 100000 } },
    { name = "_limited", kind = "holding", address = 10, encoding = "uint16", period = "never",
      writable = { min = 0, max = 1 } },
  },
  controls = {
    withoutSetPoint = "ownControl",
    limit = { { point = "_limit", from = "maxDischargePower" }, { point = "_limited", value = 1 } },
    release = { { point = "_limited", value = 0 } },
    lag = 1,
  },
}
