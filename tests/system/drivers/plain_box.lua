-- A grid operator's box with registers: a limit each way, whether it holds, and a heartbeat.
return {
  api = 1, name = "plain_box", version = "1", manufacturer = "Test", models = { "plain" },
  type = "gridOperatorBox",
  link = { kinds = { "tcp" }, timeout = 0.5 },
  points = {
    { name = "heartbeat", kind = "holding", address = 0, encoding = "uint16", period = 0.2 },
    { name = "consumptionLimitActive", kind = "holding", address = 1, encoding = "uint16",
      period = 0.2 },
    { name = "consumptionLimit", kind = "holding", address = 2, encoding = "uint16", unit = "W",
      notAvailable = { 0xFFFF }, period = 0.2 },
    { name = "productionLimitActive", kind = "holding", address = 3, encoding = "uint16",
      period = 0.2 },
    { name = "productionLimit", kind = "holding", address = 4, encoding = "uint16", unit = "W",
      period = 0.2 },
  },
}
