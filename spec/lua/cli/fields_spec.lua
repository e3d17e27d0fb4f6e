-- `fluo fields`: what is in a recorded file, bounded; and what it says to what is none.
local cjson = require("cjson")
local replay = require("spec.replay")
local survey = require("fluo.cli.survey")

-- Runs it over spans (as spec.replay writes them): stdout, status, stderr.
local function fields(spans, flags)
  local path = os.tmpname()
  replay.write(path, cjson.encode(replay.request(spans)) .. "\n")
  local status, out, err = replay.shell(("%s fields %s %s"):format(replay.fluo, flags or "", path))
  os.remove(path)
  return out, status, err
end

local SPANS = {
  replay.span { name = "a", service = "shop", attr = { code = 200, ["api.key"] = "s3cret", list = { "x" } },
                resource = { env = "prod" }, events = { { "e", 1, { kind = "x\ny" } } }, links = { { "o", "p", { l = true } } } },
  replay.span { name = "b", service = "shop", attr = { code = "500", long = ("é"):rep(100) } },
}

local function by_name(list)
  local found = {}
  for _, entry in ipairs(list.entries) do found[entry.name] = entry end
  return found
end

describe("fields", function()
  local found = cjson.decode((fields(SPANS, "--json")))

  it("counts services, names and keys of each level, with their types and values", function()
    assert.equal(2, found.spans)
    assert.same({ { name = "shop", count = 2 } }, found.services.entries)
    assert.same({ { name = "a", count = 1 }, { name = "b", count = 1 } }, found.names.entries)
    local code = by_name(found.span).code
    assert.same({ 2, { int = 1, string = 1 }, { "200", "500" } }, { code.count, code.types, code.values })
    assert.same({ "prod" }, by_name(found.resource).env.values)
    assert.same({ "x?y" }, by_name(found.event).kind.values)
    assert.same({ "true" }, by_name(found.link).l.values)
    assert.equal("array", next(by_name(found.span).list.types))
  end)

  it("cuts long values between characters, and shows none that looks secret", function()
    local long = by_name(found.span).long.values[1]
    assert.equal(("é"):rep(20) .. "…", long)
    assert.same({ {}, true }, { by_name(found.span)["api.key"].values, by_name(found.span)["api.key"].masked })
    local text = fields(SPANS)
    assert.falsy(text:find("s3cret", 1, true))
    assert.truthy(text:find("\napi.key +1  string +%(not shown%)\n"), text)
  end)

  it("shows the most frequent of each list, and says how many there are more", function()
    local text = fields(SPANS, "--top=1")
    assert.truthy(text:find("\ncode +2  int,string +200, 500\n… and 3 more %(%-%-top%)\n"), text)
    local one = cjson.decode((fields(SPANS, "--json --top=1")))
    assert.same({ 1, 4 }, { #one.span.entries, one.span.distinct })
  end)

  it("keeps so many entries of a list and counts the rest", function()
    local before, path = survey.ENTRIES_MAX, os.tmpname()
    survey.ENTRIES_MAX = 2
    replay.write(path, cjson.encode(replay.request {
      replay.span { name = "a" }, replay.span { name = "b" }, replay.span { name = "c" }, replay.span { name = "a", id = "2" } }))
    local seen = assert(survey.of_file(path))
    survey.ENTRIES_MAX = before
    os.remove(path)
    assert.same({ 2, 1 }, { #survey.sorted(seen.names), seen.names.more })
  end)

  it("refuses what is no recording, and asks for a file", function()
    local status, _, err = replay.shell(replay.fluo .. " fields README.md")
    assert.same({ 1, 1 }, { status, (err:find("fluo: README.md: neither OTLP/JSON", 1, true)) })
    status, _, err = replay.shell(replay.fluo .. " fields /nowhere")
    assert.same({ 1, "fluo: /nowhere: cannot be opened: No such file or directory\n" }, { status, err })
    assert.equal(2, (replay.shell(replay.fluo .. " fields")))
    status, _, err = replay.shell(replay.fluo .. " fields live --listen.admin=127.0.0.1:1")
    assert.same({ 1, 1 }, { status, (err:find("fluo: nobody listens on 127.0.0.1:1", 1, true)) })
  end)
end)
