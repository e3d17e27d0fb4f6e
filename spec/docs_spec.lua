-- Whatever the manuals show is run: rules load, specs pass, shell lines end well, and names are those of the program.
local cjson = require("cjson")
local replay = require("spec.replay")
local reference = require("fluo.reference")
local read = require("spec.support").read

local MANUALS = { "README.md" }
for path in io.popen("ls rules/*.md"):lines() do MANUALS[#MANUALS + 1] = path end
-- A fence without a language is a drawing, and only these manuals have one.
local DRAWINGS = { ["README.md"] = true }

-- Every fenced block, in order: { kind, code, line }; Lua that begins with `describe` is a spec.
local function blocks(path)
  local list, open, number = {}, nil, 0
  for line in read(path):gmatch("([^\n]*)\n") do
    number = number + 1
    local fence = line:match("^%s*```(%w*)")
    if fence and open then
      open.code = table.concat(open, "\n") .. "\n"
      if open.kind == "lua" and open.code:find("^describe") then open.kind = "spec" end
      list[#list + 1], open = open, nil
    elseif fence then
      open = { kind = fence, line = number }
    elseif open then
      open[#open + 1] = line
    end
  end
  assert(not open, path .. " ends within a fence")
  return list
end

local function of_kind(path, kind)
  local list = {}
  for _, block in ipairs(blocks(path)) do
    if block.kind == kind then list[#list + 1] = block end
  end
  return list
end

local FLUO = replay.fluo:find("^/") and replay.fluo or io.popen("pwd"):read("*l") .. "/" .. replay.fluo

-- A folder for the time of one function, with rules/ in it, and `fluo` and `your-service` on the path.
local function with(rules, use)
  local dir = os.tmpname()
  os.remove(dir)
  assert(os.execute(("mkdir -p %s/rules %s/bin && ln -s %s %s/bin/fluo"):format(dir, dir, FLUO, dir)) == 0)
  for name, code in pairs(rules) do replay.write(("%s/rules/%s"):format(dir, name:find("%.") and name or name .. ".lua"), code) end
  replay.write(dir .. "/bin/your-service", "#!/bin/sh\necho $OTEL_EXPORTER_OTLP_ENDPOINT $OTEL_EXPORTER_OTLP_PROTOCOL\n")
  local ok, why = pcall(use, dir, function(line)
    return replay.shell(("cd %s && chmod +x bin/* && PATH=$PWD/bin:$PATH && %s"):format(dir, line))
  end)
  os.execute("rm -rf " .. dir)
  if not ok then error(why, 0) end
end

local function rules_of(path)
  local rules = {}
  for i, block in ipairs(of_kind(path, "lua")) do rules[("rule_%02d"):format(i)] = block.code end
  return rules
end

-- All rules of a manual, and a spec of it, as `fluo test` says it.
local function passes(path, spec)
  local rules = rules_of(path)
  rules.manual_spec = spec.code
  with(rules, function(_, shell)
    local status, out, err = shell("fluo test rules")
    assert.equal(0, status, out .. err)
  end)
end

local function loads(block)
  with({ ["example." .. block.kind:gsub("yaml", "yml")] = block.code }, function(_, shell)
    local status, out, err = shell("fluo check --strict --rules rules")
    assert.equal(0, status, out .. err)
  end)
end

local DIALECTS = { yaml = true, rule = true, js = true }

local RETRIED = {
  replay.span { name = "POST /pay", service = "checkout", status = "ERROR" },
  replay.span { name = "POST /pay", id = "again", service = "checkout", at = 100 },
}

-- What needs a running agent, or is one, or names a file of the reader's, is only looked at: that each flag is one of the command's.
local SERVES = { run = true, record = true, repl = true, convert = true, incidents = true, show = true, tail = true, ack = true,
                 resolve = true, silence = true, feedback = true }

local function is_known(line)
  local command = line:match("^fluo (%l+)")
  local status, help = replay.shell(FLUO .. " help " .. command)
  assert.equal(0, status, command)
  for flag in line:gmatch("%-%-[%w._-]+") do assert.truthy(help:find(flag, 1, true), line .. ": " .. flag) end
end

-- A request to the API, whose answers its own spec looks at.
local function is_described(line)
  local path = line:match("(/api/v1/[%w/]+)"):gsub("/ID", "/{id}")
  local verbs = cjson.decode(read("contrib/openapi.json")).paths[path]
  assert.truthy(verbs and verbs[(line:match("%-X (%u+)") or "GET"):lower()], line)
end

-- A line of a shell block, where the manual's own rules are in rules/. Of `make` it is enough that its target is there.
local function runs(path, line)
  if SERVES[line:match("^fluo (%l+)")] then return is_known(line) end
  if line:find("^curl .*/api/v1/") then return is_described(line) end
  with(rules_of(path), function(dir, shell)
    replay.write(dir .. "/traces.jsonl", cjson.encode(replay.request(RETRIED)) .. "\n")
    for i, spec in ipairs(of_kind(path, "spec")) do replay.write(("%s/rules/manual%d_spec.lua"):format(dir, i), spec.code) end
    local target = line:match("^make (%w+)")
    local status, out, err = (target and replay.shell or shell)(target and "make -n " .. target or "timeout 60 " .. line)
    if line:find("your-service", 1, true) then
      status, out, err = shell(line)
      assert.equal("http://127.0.0.1:4318 http/protobuf\n", out)
    end
    assert.equal(0, status, line .. "\n" .. out .. err)
  end)
end

-- What a reader sees of JSON: its keys in their order; … stands for anything.
local function keys(text)
  local list = {}
  for key in text:gmatch('"([%w_]+)":') do list[#list + 1] = key end
  return table.concat(list, " ")
end

-- What rules and specs see, by name.
local FORMS = {}
for _, list in ipairs { { reference.globals }, reference.classes, reference.spec_classes } do
  for _, class in ipairs(list) do
    for _, member in ipairs(class) do
      if type(member) == "table" then FORMS[member[1]] = true end
    end
  end
end

for _, path in ipairs(MANUALS) do
  describe(path, function()
    for i, block in ipairs(blocks(path)) do
      local examples = DIALECTS[block.kind] or block.kind == "lua"
      if examples then it(("has an example that loads without a warning: number %d, line %d"):format(i, block.line), function() loads(block) end) end
    end
    local specs = of_kind(path, "spec")
    for i, block in ipairs(specs) do
      it(("has a spec that passes: number %d, line %d"):format(i, block.line), function() passes(path, block) end)
    end
    for _, block in ipairs(of_kind(path, "sh")) do
      for line in block.code:gmatch("[^\n]+") do
        local command = line:match("^(.-)%s*#") or line
        it("has a line that runs: " .. command, function() runs(path, command) end)
      end
    end

    for i, block in ipairs(blocks(path)) do
      if block.kind == "text" then
        it(("shows what the line above prints: line %d"):format(block.line), function()
          with(rules_of(path), function(dir, shell)
            replay.write(dir .. "/traces.jsonl", cjson.encode(replay.request(RETRIED)) .. "\n")
            local _, out = shell((blocks(path)[i - 1].code:gsub("%s+$", "")))
            assert.equal(block.code, out)
          end)
        end)
      end
    end

    for _, block in ipairs(of_kind(path, "config")) do
      it(("has a configuration that is taken: line %d"):format(block.line), function()
        with({ ["fluo.lua"] = block.code }, function(_, shell)
          local variables = {}
          for name in block.code:gmatch('secret "([%w_]+)"') do variables[#variables + 1] = "export " .. name .. "=https://example.com; " end
          variables = table.concat(variables)
          local status, shown, err = shell(variables .. "fluo config show -c rules/fluo.lua")
          assert.equal(0, status, err)
          for name in shown:gmatch("\nreceivers%.(%S+)") do
            local out
            status, out, err = shell(("%s fluo notify -c rules/fluo.lua --dry-run %s"):format(variables, name))
            assert.equal(0, status, name .. ": " .. out .. err)
          end
        end)
      end)
    end

    it("has no block that nothing runs", function()
      for _, block in ipairs(blocks(path)) do
        assert.truthy(DIALECTS[block.kind] or ({ lua = true, spec = true, sh = true, text = true, config = true, json = path == "README.md",
          [""] = DRAWINGS[path] })[block.kind], ("%s:%d: a block of kind `%s`"):format(path, block.line, block.kind))
      end
    end)

    it("leads to files that are there", function()
      for target in read(path):gmatch("%]%(([^)#]+)[^)]*%)") do
        if not target:find("^%w+:") then
          local file = io.open((path:match(".*/") or "") .. target)
          assert.truthy(file, target)
          file:close()
        end
      end
    end)

    it("names forms of `trace` and settings that are there", function()
      local _, settings = replay.shell(FLUO .. " config show")
      for name in read(path):gmatch("%f[%w_]trace%.([%l_]+)") do
        assert.truthy(FORMS[name] or settings:find("\ntrace." .. name .. "%s"), "trace." .. name)
      end
    end)

    it("names commands and metrics that are there", function()
      local _, help = replay.shell(FLUO .. " help")
      local source = io.popen("cat core/*.c core/*.h"):read("*a")
      for command in read(path):gmatch("`fluo (%l+)") do
        assert.truthy(help:find("\n%s+" .. command .. "%s"), "fluo " .. command)
      end
      for metric in read(path):gmatch("%f[%w_](fluo_[%l_]+)") do
        assert.truthy(source:find(metric, 1, true), metric)
      end
    end)
  end)
end

-- One idea, one rule a file.
local function shipped()
  local _, names = replay.shell("ls rules/*.lua")
  local _, all = names:gsub("%.lua\n", "")
  local _, specs = names:gsub("_spec%.lua\n", "")
  return all - specs
end

describe("README.md", function()
  it("shows the violation that its first rule gives", function()
    local rule, shown = of_kind("README.md", "lua")[1].code, of_kind("README.md", "json")[1].code
    local found = replay.run(rule, { RETRIED })
    assert.equal(1, #found)
    for key in keys(shown):gmatch("%S+") do
      assert.truthy(found[1][key] or found[1].spans[1][key], key .. " is not in a violation")
    end
    for _, text in ipairs { found[1].rule, found[1].severity, found[1].summary } do
      assert.truthy(shown:find('"' .. text .. '"', 1, true), text)
    end
  end)
end)

describe("the manual", function()
  it("names every form that rules, specs and actions have", function()
    local text = read("rules/README.md") .. read("rules/alerts.md")
    for name in pairs(FORMS) do assert.truthy(text:find("%f[%w_]" .. name .. "%f[^%w_]"), name) end
  end)
end)

describe("rules/cookbook.md", function()
  local rules, specs = of_kind("rules/cookbook.md", "lua"), of_kind("rules/cookbook.md", "spec")

  it("has at least twenty rules of at most fifteen lines, each with its spec behind it", function()
    assert.truthy(#rules >= 20)
    assert.equal(#rules, #specs)
    for i, block in ipairs(rules) do
      assert.truthy(#block <= 15, block.line)
      local name = block.code:match('rule "([^"]+)"')
      assert.equal(name, specs[i].code:match('^describe%("([^"]+)"'))
      for _, verb in ipairs { "fires", "silent" } do
        assert.truthy(specs[i].code:find(('assert.%s("%s"'):format(verb, name), 1, true), name .. " " .. verb)
      end
    end
  end)

  it("has rules that stand beside each other and beside the shipped ones, without a warning", function()
    with(rules_of("rules/cookbook.md"), function(dir, shell)
      os.execute(("cp rules/*.lua %s/rules"):format(dir))
      local status, out = shell("fluo check --rules rules")
      assert.equal(0, status, out)
      assert.truthy(out:find(("%d rules, 0 errors, 0 warnings"):format(#rules + shipped()), 1, true), out)
    end)
  end)
end)

describe("the shipped rules", function()
  it("load without an error or a warning", function()
    local status, out = replay.shell(replay.fluo .. " check --rules rules")
    assert.equal(0, status)
    assert.truthy(out:find(("%d rules, 0 errors, 0 warnings"):format(shipped()), 1, true), out)
  end)
end)
