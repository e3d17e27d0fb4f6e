describe("login-hidden-by-retry", function()
  local function login(status, start)
    return span { name = "auth.login", service = "auth", status = status, start = start, duration = "20ms" }
  end

  it("fires when a failed login is followed by one that works within 5 s", function()
    trace { login("ERROR", "0s"), login("OK", "4999ms") }
    assert.fires("login-hidden-by-retry", {
      spans = { "auth.login", "auth.login" }, summary = "auth: a failed login was hidden by a retry",
    })
  end)

  it("takes an unset status for success, as instrumentation leaves it", function()
    trace { login("ERROR"), login("UNSET") }
    assert.fires("login-hidden-by-retry")
  end)

  it("is silent where the second login comes 5 s later, not at all, or first", function()
    trace { login("ERROR", "0s"), login("OK", "5s") }
    trace { login("ERROR") }
    trace { login("OK"), login("ERROR") }
    assert.silent("login-hidden-by-retry")
  end)
end)
