// A migration as an owner writes it: every device of one project into another, with its
// parameters, tags and variables. Prints the numbers of copied devices and variables.
import sdk from "@tago-io/sdk";

const { Resources } = sdk;
const { API_URL, OLD_TOKEN, NEW_TOKEN } = process.env;
const region = { api: API_URL, sse: `${API_URL}/events` };
const old = new Resources({ token: OLD_TOKEN, region });
const target = new Resources({ token: NEW_TOKEN, region });

const PAGE = 400;
const copied = { devices: 0, variables: 0 };

for (let page = 1; ; page++) {
  const devices = await old.devices.list({ page, amount: 2, fields: ["id", "name"], orderBy: ["name", "asc"] });
  for (const { id } of devices) await copyDevice(id);
  if (devices.length < 2) break;
}
console.log(JSON.stringify(copied));

async function copyDevice(id) {
  const info = await old.devices.info(id);
  const { device_id: made } = await target.devices.create(info);
  const parameters = await old.devices.paramList(id);
  await target.devices.paramSet(made, parameters.map(({ key, value, sent }) => ({ key, value, sent })));
  for await (const page of old.devices.getDeviceDataStreaming(id, {}, { poolingRecordQty: PAGE, poolingTime: 1 })) {
    await target.devices.sendDeviceData(made, page);
    copied.variables += page.length;
  }
  copied.devices++;
}
