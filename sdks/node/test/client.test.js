import assert from "node:assert/strict";
import test from "node:test";

import { TaskClient } from "../client.js";

for (const url of ["127.0.0.1:8080", "ftp://h/", ""]) {
  test(`${JSON.stringify(url)} is no address of an API`, () => {
    assert.throws(() => new TaskClient(url), { name: "TypeError", message: `${url} is no http:// or https:// address` });
  });
}
