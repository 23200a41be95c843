-- Drivers and policies see the names of the host's sandbox and nothing else (script_sandbox.c has
-- the same list; a unit test compares the two). Everything else here is plain Lua 5.4.
local function fields(names)
  local set = {}
  for name in names:gmatch("%S+") do set[name] = {} end
  return { fields = set }
end

stds.sandbox = {
  read_globals = {
    "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "print", "rawequal",
    "rawget", "rawlen", "select", "setmetatable", "tonumber", "tostring", "type",
    math = fields("abs acos asin atan ceil cos deg exp floor fmod huge log max maxinteger min " ..
      "mininteger modf pi rad random sin sqrt tan tointeger type ult"),
    string = fields("byte char format len lower pack packsize rep reverse sub unpack upper"),
    table = fields("concat insert move pack remove sort unpack"),
    utf8 = fields("char charpattern codepoint codes len offset"),
  },
}

std = "lua54"
max_line_length = 100
files["drivers"] = { std = "sandbox" }
files["policies"] = { std = "sandbox" }
files["scripts/examples"] = { std = "lua54" }
files["tests/spec"] = { std = "lua54+busted" }
files[".luacheckrc"] = { ignore = { "111", "112", "113" } }
