describe("pii-without-audit", function()
  local function read(personal)
    return span { name = "users.get", service = "users", attributes = { ["data.contains_pii"] = personal } }
  end

  it("fires at the close when personal data was read and nothing was audited", function()
    trace { read(true) }
    assert.fires("pii-without-audit", { spans = { "users.get" }, reason = "missing audit.log" })
  end)

  it("waits for an audit log that another service sends seconds later", function()
    trace { trace_id = "audited", read(true) }
    trace { trace_id = "audited", arrival = "9s", span { name = "audit.log", service = "audit", start = "4s" } }
    assert.silent("pii-without-audit")
  end)

  it("is silent where nothing says that data is personal", function()
    trace { read(false) }
    trace { read(nil) }
    assert.silent("pii-without-audit")
  end)
end)
