--- Percent-encoding (RFC 3986, section 2.1): text as it stands in an address or a form, all but unreserved characters
-- escaped.
return function(text)
  return (tostring(text):gsub("[^%w%-._~]", function(c) return ("%%%02X"):format(c:byte()) end))
end
