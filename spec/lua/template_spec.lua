local template = require("fluo.template")

local function parts(text)
  local list = assert(template.compile(text))
  local short = {}
  for i, part in ipairs(list) do short[i] = part.key and part.field .. "=" .. part.key or part.field end
  return table.concat(short, " | ")
end

describe("a template", function()
  local cases = {
    { "", "" }, { "plain", "LITERAL=plain" }, { "{service}", "SERVICE" },
    { "{service}: {span.name} took {span.duration} ms",
      "SERVICE | LITERAL=:  | NAME | LITERAL= took  | DURATION | LITERAL= ms" },
    { "{{}}", "LITERAL={}" }, { "{{{name}}}", "LITERAL={ | NAME | LITERAL=}" }, { "{ name }", "NAME" },
    { "{duration}{status}{rule}{severity}{trace_id}", "DURATION | STATUS | RULE | SEVERITY | TRACE_ID" },
    { "{value}{threshold}{reason}{span_total}", "VALUE | THRESHOLD | REASON | SPAN_TOTAL" },
    { "{resource.k8s.pod.name}", "RESOURCE=k8s.pod.name" },
    { "{span.attributes.http.url}", "ATTRIBUTE=http.url" }, { '{span.attributes["a b"]}', "ATTRIBUTE=a b" },
    { "{order.id}", "ATTRIBUTE=order.id" }, { "{span.kind}{kind}", "KIND | KIND" },
  }
  for _, case in ipairs(cases) do
    it(("`%s` has its parts"):format(case[1]), function() assert.equal(case[2], parts(case[1])) end)
  end

  local refused = { ["{name"] = "not closed", ["a { b {name}"] = "not closed", ["a } b"] = "closes nothing",
                    ["{}"] = "empty placeholder", ["{span.nmae}"] = "no field `nmae`", ["{"] = "not closed" }
  for text, why in pairs(refused) do
    it(("`%s` is refused"):format(text), function()
      local list, message = template.compile(text)
      assert.is_nil(list)
      assert.is_truthy(message:find(why, 1, true), message)
    end)
  end

  it("of too many parts is refused", function()
    assert.is_nil((template.compile(("{name}x"):rep(600))))
  end)
end)
