-- Drivers and policies see the names of the host's sandbox and nothing else: those of its allow
-- list, host/script/script_names.inc. Everything else here is plain Lua 5.4.
local read_globals = {}
local list -- the linter is started here or in a folder below
for _, up in ipairs { "", "../", "../../" } do
  list = list or io.open(up .. "host/script/script_names.inc")
end
assert(list, "start luacheck in the folder of .luacheckrc")
for line in list:lines() do
  local library, member = line:match('^"(%w+)%.?(%w*)",$')
  if member == "" then
    read_globals[library] = {}
  elseif member then
    local fields = read_globals[library].fields or {}
    fields[member] = {}
    read_globals[library].fields = fields
  end
end
list:close()

stds.sandbox = { read_globals = read_globals }

std = "lua54"
max_line_length = 100
files["drivers"] = { std = "sandbox" }
files["policies"] = { std = "sandbox" }
files["scripts/templates"] = { std = "sandbox" }
files["scripts/meta"] = { ignore = { "111", "112", "121", "122", "212" } } -- declarations for editors
files["scripts/examples"] = { std = "lua54" }
files["tests/spec"] = { std = "lua54+busted" }
files[".luacheckrc"] = { ignore = { "111", "112", "113" } }
