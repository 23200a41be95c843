-- A charging station with a limit in mA and phases that the host may choose.
return {
  api = 1, name = "plain_switching_station", version = "1", manufacturer = "Test",
  models = { "plain" },
  type = "chargingStation",
  link = { kinds = { "tcp" }, timeout = 0.5 },
  parameters = { maxCurrent = { unit = "A", min = 6, max = 80, default = 16 },
                 phases = { min = 1, max = 3, default = 3 } },
  points = {
    { name = "activePower", kind = "holding", address = 0, encoding = "int32", unit = "W",
      period = 0.2 },
    { name = "activePhases", kind = "holding", address = 2, encoding = "uint16", period = 0.2,
      notAvailable = { 0xFFFF } },
    { name = "voltageL1", kind = "holding", address = 3, encoding = "uint16", unit = "V",
      period = 0.2 },
    { name = "_current", kind = "holding", address = 11, encoding = "uint32", unit = "A",
      scale = 0.001, period = "never", writable = { min = 0, max = 80 } },
    { name = "_phases", kind = "holding", address = 13, encoding = "uint16", period = "never",
      writable = { min = 1, max = 3 } },
  },
  controls = {
    withoutSetPoint = "followsMax",
    phaseSwitching = true,
    charge = { { point = "_phases", from = "phases" }, { point = "_current", from = "current" } },
    hold = { { point = "_current", value = 0 } },
    lag = 1,
  },
}
