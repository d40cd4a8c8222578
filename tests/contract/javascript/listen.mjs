// An external analysis: its owner starts it, and the project triggers it.
import sdk from "@tago-io/sdk";

const { Analysis } = sdk;
const { API_URL, ANALYSIS_TOKEN, STAY } = process.env;

Analysis.use(
  async (context, scope) => {
    await context.log(`ran with ${JSON.stringify(scope)} and ${context.environment[0]?.value}`);
    if (!STAY) setTimeout(() => process.exit(0), 500);
  },
  { token: ANALYSIS_TOKEN, region: { api: API_URL, sse: `${API_URL}/events` } },
);
