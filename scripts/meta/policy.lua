---@meta
-- What a policy sees and returns. The table that a policy file returns: policies/README.md.

---One device that the parameters name. Numbers are nil when unknown or too old.
---@class derd.device: derd.values
---@field type derd.type
---@field connection derd.connection
---@field state derd.state
---@field stale boolean its measurement is past its trust
---@field at derd.seconds when each number was read, since 1970
---@field age derd.seconds how old each number is
---@field allowedRanges integer[][] what it can do: { { 0, 0 }, { 1380, 11040 } }, W
---@field minActivePower? integer W, the lower end of it
---@field maxActivePower? integer W, the upper end of it
---@field leastActivePower? integer W, its lowest step above 0

---@class derd.snapshot
---@field now number seconds since 1970
---@field elapsed number seconds since the call before, 0 at the first
---@field devices table<string, derd.device> by key

---As set in the site file, with defaults filled in.
---@alias derd.params table<string, number|string|boolean|string[]>

---What is wanted of one device until the lease ends or the next call.
---@class derd.proposal
---@field device string a device that the parameters name
---@field activePower? number W
---@field minActivePower? number W
---@field maxActivePower? number W
---@field minStateOfCharge? number %
---@field maxStateOfCharge? number %
---@field onConflict? "clamp"|"discard" default clamp
---@field lease? number s, default three times `every`, at least 15
---@field reason? string for people

---@alias derd.proposals table<string, derd.proposal> by keys of the policy's own
---@alias derd.run fun(snapshot: derd.snapshot, params: derd.params, state: table): derd.proposals
