// An owner's use of the SDK for everything except devices. Any surprise throws.
import assert from "node:assert/strict";
import { gunzipSync } from "node:zlib";
import sdk from "@tago-io/sdk";

const { Resources } = sdk;
const { API_URL, OLD_TOKEN, NEW_TOKEN } = process.env;
const region = { api: API_URL, sse: `${API_URL}/events` };
const project = new Resources({ token: OLD_TOKEN, region });
const other = new Resources({ token: NEW_TOKEN, region });
const tags = [{ key: "export_id", value: "1" }];
const done = [];

async function flow(name, steps) {
  await steps();
  done.push(name);
}

const refused = (promise, says) => assert.rejects(promise, (error) => says.test(error.message ?? error));

await flow("networks and connectors", async () => {
  const { network } = await project.integration.networks.create({ name: "LoRa", tags });
  assert.equal((await project.integration.networks.info(network)).name, "LoRa");
  assert.ok((await project.integration.networks.list()).length >= 2);
  const { connector } = await project.integration.connectors.create({ name: "Probe", networks: [network] });
  const info = await project.integration.connectors.info(connector, ["id", "networks"]);
  assert.deepEqual(info.networks, [network]);
  await project.integration.connectors.edit(connector, { name: "Probe 2" });
  await project.integration.connectors.delete(connector);
  await project.integration.networks.delete(network);
  await refused(project.integration.networks.info(network), /Network Not Found/);
});

await flow("dashboards and widgets", async () => {
  const { dashboard } = await project.dashboards.create({ label: "Cold store", tags, arrangement: [] });
  const { widget } = await project.dashboards.widgets.create(dashboard, {
    label: "Temperature", type: "display", display: { help: null }, data: [{ variable: "t" }],
  });
  const arrangement = [{ widget_id: widget, x: 0, y: 0, width: 2, height: 3 }];
  await project.dashboards.edit(dashboard, { arrangement });
  assert.deepEqual((await project.dashboards.info(dashboard)).arrangement, arrangement);
  const shown = await project.dashboards.widgets.info(dashboard, widget);
  assert.equal(shown.dashboard, dashboard);
  assert.deepEqual(shown.display, { help: null });
  await project.dashboards.widgets.edit(dashboard, widget, { label: "t" });
  assert.equal((await project.dashboards.widgets.info(dashboard, widget)).type, "display");
  // Copy it into the other project, as the application export does.
  const copy = await other.dashboards.create(await project.dashboards.info(dashboard));
  await other.dashboards.widgets.create(copy.dashboard, shown);
  assert.equal((await other.dashboards.list({ fields: ["id", "label"] }))[0].label, "Cold store");
  await project.dashboards.widgets.delete(dashboard, widget);
  await project.dashboards.delete(dashboard);
  await refused(project.dashboards.info(dashboard), /Dashboard Not Found/);
});

await flow("actions", async () => {
  const { action } = await project.actions.create({ name: "Alarm", type: "condition", trigger: [], action: { type: "email" }, tags });
  await project.actions.edit(action, { active: false });
  assert.equal((await project.actions.info(action)).active, false);
  const found = await project.actions.list({ amount: 99, filter: { tags: [{ key: "export_id" }] } });
  assert.equal(found[0].id, action);
  await project.actions.delete(action);
});

await flow("access policies", async () => {
  const { am_id } = await project.accessManagement.create({ name: "Policy", permissions: [], targets: [] });
  await project.accessManagement.edit(am_id, { active: false });
  assert.deepEqual((await project.accessManagement.info(am_id)).targets, []);
  await project.accessManagement.delete(am_id);
});

await flow("dictionaries", async () => {
  const { dictionary } = await project.dictionaries.create({ name: "Texts", slug: "TXT", fallback: "en-US" });
  await project.dictionaries.languageEdit(dictionary, "en-US", { dictionary: { HELLO: "Hello" }, active: true });
  assert.deepEqual(await project.dictionaries.languageInfo(dictionary, "en-US"), { HELLO: "Hello" });
  assert.deepEqual(await project.dictionaries.languageInfo(dictionary, "nb-NO", { fallback: true }), { HELLO: "Hello" });
  await refused(project.dictionaries.languageInfo(dictionary, "nb-NO", { fallback: false }), /Language Not Found/);
  assert.deepEqual((await project.dictionaries.list())[0].languages, [{ code: "en-US", active: true }]);
  await project.dictionaries.languageDelete(dictionary, "en-US");
  await project.dictionaries.delete(dictionary);
});

await flow("Run and its users", async () => {
  const run = await project.run.info();
  await project.run.edit({ ...run, sub_title: "Cold" });
  assert.equal((await project.run.info()).sub_title, "Cold");
  assert.notEqual((await other.run.info()).anonymous_token, run.anonymous_token);
  const kari = { name: "Kari", email: "kari@example.com", password: "secret", timezone: "UTC" };
  const { user } = await project.run.userCreate(kari);
  await refused(project.run.userCreate({ ...kari, email: "KARI@example.com" }), /already/);
  await project.run.userEdit(user, { company: "Ltd." });
  const info = await project.run.userInfo(user);
  assert.equal(info.company, "Ltd.");
  assert.equal(info.password, undefined);
  assert.equal((await project.run.listUsers({}))[0].id, user);
  await project.run.userDelete(user);
});

await flow("secrets", async () => {
  const { id } = await project.secrets.create({ key: "API_KEY", value: "s3cret", tags });
  const info = await project.secrets.info(id);
  assert.deepEqual([info.key, info.value, info.value_length], ["API_KEY", undefined, 6]);
  await project.secrets.edit(id, { value: "longer secret" });
  assert.equal((await project.secrets.info(id)).value_length, 13);
  await project.secrets.delete(id);
});

await flow("analyses and scripts", async () => {
  const { id, token } = await project.analysis.create({ name: "Report", run_on: "external", tags, variables: [{ key: "a", value: "b" }] });
  const script = Buffer.from("console.log('hello');\n");
  await project.analysis.uploadScript(id, { name: "report.js", content: script.toString("base64"), language: "node" });
  const { url } = await project.analysis.downloadScript(id);
  const fetched = await fetch(url);
  assert.deepEqual(gunzipSync(Buffer.from(await fetched.arrayBuffer())), script);
  const info = await project.analysis.info(id);
  assert.equal(info.token, token);
  await other.analysis.create(info);
  assert.equal((await other.analysis.list({ fields: ["id", "variables"] }))[0].variables[0].value, "b");
  assert.ok((await project.analysis.run(id)).analysis_token === token);
  assert.notEqual(await project.analysis.tokenGenerate(id).then((made) => made.analysis_token), token);
  await project.analysis.edit(id, { run_on: "tago" });
  await refused(project.analysis.run(id), /not run here/);
  await project.analysis.delete(id);
});

await flow("files", async () => {
  await project.files.uploadBase64([{ filename: "/a/b.txt", file: Buffer.from("text").toString("base64"), public: false }]);
  const { file } = await project.files.uploadFile(Buffer.alloc(300_000, "x"), "big.bin", { isPublic: true });
  assert.equal((await (await fetch(file)).arrayBuffer()).byteLength, 300_000);
  const root = await project.files.list();
  assert.deepEqual([root.folders, root.files.map((one) => one.filename)], [["a"], ["big.bin"]]);
  await project.files.move([{ from: "a/b.txt", to: "c/d.txt" }]);
  const address = file.replace("big.bin", "c/d.txt");
  assert.equal((await fetch(address)).status, 404);
  assert.equal(await (await fetch(await project.files.getFileURLSigned(address))).text(), "text");
  assert.equal((await project.files.getFileMD5(address)).length, 32);
  await project.files.changePermission([{ file: "c/d.txt", public: true }]);
  assert.deepEqual(await project.files.checkPermission("c/d.txt"), { public: true });
  await project.files.copy([{ from: "c/d.txt", to: "c/e.txt" }]);
  await project.files.delete(["c/d.txt", "c/e.txt", "big.bin"]);
  assert.equal((await project.files.list()).total, 0);
});

await flow("entities", async () => {
  const { id } = await project.entities.create({ name: "Trucks", schema: { plate: { action: "create", type: "string", required: true }, load: { action: "create", type: "float" } } });
  assert.equal(await project.entities.sendEntityData(id, [{ plate: "AB 1", load: 1.5 }, { plate: "AB 2" }]), "2 Data Added");
  await refused(project.entities.sendEntityData(id, { load: 1 }), /plate is required/);
  const [row] = await project.entities.getEntityData(id, { filter: { plate: "AB 1" } });
  await project.entities.editEntityData(id, { id: row.id, load: 2 });
  assert.equal((await project.entities.getEntityData(id, { amount: 1 }))[0].load, 2);
  assert.equal(await project.entities.amount(id), 2);
  await project.entities.deleteEntityData(id, { ids: [row.id] });
  assert.equal(await project.entities.amount(id), 1);
  await project.entities.delete(id);
});

await flow("profile and tags", async () => {
  await project.actions.create({ name: "Tagged", tags });
  assert.deepEqual(await project.tags.getTagKeys("action"), ["export_id"]);
  const [mine] = await project.profiles.list();
  const { info } = await project.profiles.info(mine.id);
  assert.equal(info.id, mine.id);
  assert.equal((await project.profiles.summary(mine.id)).amount.action, 1);
  await refused(other.profiles.info(mine.id), /Profile Not Found/);
  assert.match((await project.account.info()).email, /@/);
});

console.log(JSON.stringify(done));
