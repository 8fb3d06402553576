"""What the tests script themselves: servers on loopback that answer as told and remember what they were asked."""
