"""The pages that the gateway shows to people: plain HTML that needs no script, one style sheet, nothing foreign."""
