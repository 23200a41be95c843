-- Moxa ioLogik E1210 and E1212, Modbus TCP input modules: eight dry or wet contacts, for the
-- relays of a grid operator's box or of a ripple-control receiver.
--
-- Source: Moxa, "ioLogik E1200 Series User's Manual", appendix "ioLogik E1200 Series Modbus/TCP
-- Default Address Mappings", table "1xxxx Read Only Coils (Function 2)": reference 10001 is address
-- 0x0000, "CH0 DI Value, 0=OFF, 1=ON (Read only)", and so on. Channels 8 to 15 are not read.
-- In the same appendix, "System": modelName, "each byte represents ASCII code of each character",
-- input register 35001, start address 5000, length 10.
--
-- ON is a dry contact that is closed. What each contact means stands in the site file.

local points = {}
for channel = 0, 7 do
  points[channel + 1] = { name = "contact" .. channel + 1, kind = "discrete", address = channel,
                          encoding = "bit", period = 1 }
end
points[9] = { name = "model", kind = "input", address = 5000, encoding = "string", length = 10 }

return {
  api = 1,
  name = "moxa_iologik_e1200",
  version = "1.0",
  manufacturer = "Moxa",
  models = { "ioLogik E1210", "ioLogik E1212" },
  type = "gridOperatorBox",
  link = { kinds = { "tcp" }, timeout = 1 },
  points = points,
}
