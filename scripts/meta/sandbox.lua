---@meta
-- What a driver, a policy or a site's script sees beside plain Lua: little is added, much is left
-- out. For lua-language-server: set "workspace.library" to this folder.
--
-- The allow list below is the sandbox's (host/script/script_sandbox.c); a test holds the two
-- together. What is not in it does not exist: no io, os, debug, package, coroutine, load, require,
-- xpcall, collectgarbage and rawset. Writing a global raises.

---The names of the sandbox: what stands behind a dot is a member of that library.
---@alias derd.sandbox
---| "assert" | "error" | "getmetatable" | "ipairs" | "log" | "next" | "now" | "pairs" | "pcall"
---| "print" | "rawequal" | "rawget" | "rawlen" | "select" | "setmetatable" | "sleep" | "tonumber"
---| "tostring" | "type"
---| "json" | "json.decode" | "json.encode" | "json.null"
---| "math" | "math.abs" | "math.acos" | "math.asin" | "math.atan" | "math.ceil" | "math.cos"
---| "math.deg" | "math.exp" | "math.floor" | "math.fmod" | "math.huge" | "math.log" | "math.max"
---| "math.maxinteger" | "math.min" | "math.mininteger" | "math.modf" | "math.pi" | "math.rad"
---| "math.random" | "math.sin" | "math.sqrt" | "math.tan" | "math.tointeger" | "math.type"
---| "math.ult"
---| "string" | "string.byte" | "string.char" | "string.find" | "string.format" | "string.gmatch"
---| "string.gsub" | "string.len" | "string.lower" | "string.match" | "string.pack"
---| "string.packsize" | "string.rep" | "string.reverse" | "string.sub" | "string.unpack"
---| "string.upper"
---| "table" | "table.concat" | "table.insert" | "table.move" | "table.pack" | "table.remove"
---| "table.sort" | "table.unpack"
---| "utf8" | "utf8.char" | "utf8.charpattern" | "utf8.codepoint" | "utf8.codes" | "utf8.len"
---| "utf8.offset"

---Writes a line into the host's log, under the script's name.
---@param ... any
function print(...) end

---Writes a line into the host's log, under the script and the device that it works for.
---@param text string
function log(text) end

---Seconds since 1970. In hooks of drivers only: a policy has `snapshot.now`.
---@return number
function now() end

---Waits. In hooks.read and hooks.write only.
---@param seconds number 0 to 30
function sleep(seconds) end

---JSON. Whole numbers stay integers.
json = {}

---Stands for null, which is not the same as nothing.
---@type lightuserdata
json.null = nil

---@param text string
---@return any? value nil when it is no JSON
---@return string? reason
function json.decode(text) end

---@param value any plain data; an empty table is written as {}
---@return string
function json.encode(value) end
