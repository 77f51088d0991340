// Names below localhost.localstack.cloud mean this machine, as the world's DNS says.
const dns = require("node:dns");
const lookup = dns.lookup;
dns.lookup = (host, ...rest) =>
  lookup(/(^|\.)localhost\.localstack\.cloud$/.test(host) ? "127.0.0.1" : host, ...rest);
