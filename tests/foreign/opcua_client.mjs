// A client of the OPC UA server in node-opcua: prints one JSON object a line.
//
// usage: node opcua_client.mjs URL CERTIFICATE KEY PKI_FOLDER USER PASSWORD ACTION [ARGUMENT…]
//   browse            the tree below VisionSystem, with types and values of variables
//   events COUNT      subscribes to ResultReady events; ends after COUNT of them
//   since NUMBER      GetResultListFiltered from a result number on, page by page
//   jobs              stops, starts and reads the states
import { createRequire } from "node:module";
const require = createRequire(import.meta.url);
const opcua = require("node-opcua-client");
const { OPCUACertificateManager } = require("node-opcua-certificate-manager");

const COMPANION = "http://opcfoundation.org/UA/MachineVision";
const GATEWAY = "urn:cmfm:gateway";
const [url, certificateFile, privateKeyFile, pki, userName, password, action, argument] = process.argv.slice(2);

const print = (value) => process.stdout.write(JSON.stringify(value, plain) + "\n");

// numbers that JSON does not have, and typed arrays, in a form that it has
function plain(_key, value) {
    if (ArrayBuffer.isView(value)) return Array.from(value);
    if (Number.isNaN(value)) return "NaN";
    if (value && value.type === "Buffer") return Buffer.from(value.data).toString("hex");
    return value;
}

const certificates = new OPCUACertificateManager({
    automaticallyAcceptUnknownCertificate: true, rootFolder: pki, keySize: 2048,
});
await certificates.initialize();
const client = opcua.OPCUAClient.create({
    applicationUri: "urn:test:client", applicationName: "node-opcua", endpointMustExist: false,
    certificateFile, privateKeyFile, clientCertificateManager: certificates,
    securityMode: opcua.MessageSecurityMode.SignAndEncrypt,
    securityPolicy: opcua.SecurityPolicy[process.env.POLICY ?? "Basic256Sha256"],
    connectionStrategy: { maxRetry: 0 }, requestedSessionTimeout: 60000,
});

async function nodes(session) {
    const names = await session.readNamespaceArray();
    const own = names.indexOf(GATEWAY), companion = names.indexOf(COMPANION);
    return { own, companion, id: (path) => `ns=${own};s=VisionSystem${path ? "." + path : ""}` };
}

async function browse(session) {
    const { id } = await nodes(session);
    async function walk(nodeId, path) {
        const found = await session.browse({
            nodeId, referenceTypeId: "HierarchicalReferences", includeSubtypes: true,
            browseDirection: opcua.BrowseDirection.Forward, nodeClassMask: 0, resultMask: 63,
        });
        for (const reference of found.references ?? []) {
            const name = path + "/" + reference.browseName.name;
            const line = { path: name, nodeClass: opcua.NodeClass[reference.nodeClass],
                           type: reference.typeDefinition.toString() };
            if (reference.nodeClass === opcua.NodeClass.Variable) {
                const read = await session.read({ nodeId: reference.nodeId, attributeId: 13 });
                line.status = read.statusCode.name;
                line.value = read.value.value;
            }
            print(line);
            await walk(reference.nodeId, name);
        }
    }
    await walk(id(""), "");
}

async function events(session, count) {
    const { companion } = await nodes(session);
    const subscription = await session.createSubscription2({
        requestedPublishingInterval: 20, requestedLifetimeCount: 1000, requestedMaxKeepAliveCount: 50,
        maxNotificationsPerPublish: 0, publishingEnabled: true, priority: 1,
    });
    const fields = ["ResultId", "PartId", "ResultState", "IsSimulated", "JobId", "ResultContent"];
    const filter = opcua.constructEventFilter(
        ["EventType", "Time", ...fields.map((name) => `${companion}:${name}`)],
        opcua.ofType(`ns=${companion};i=1024`),
    );
    const item = await subscription.monitor(
        { nodeId: opcua.resolveNodeId("Server"), attributeId: opcua.AttributeIds.EventNotifier },
        { samplingInterval: 0, discardOldest: false, queueSize: 1000, filter },
        opcua.TimestampsToReturn.Both,
    );
    print({ subscribed: true });
    await new Promise((resolve) => {
        let seen = 0;
        item.on("changed", (values) => {
            const [, , ...rest] = values.map((each) => each.value);
            const event = Object.fromEntries(fields.map((name, at) => [name, rest[at]]));
            event.ResultContent = named(event.ResultContent);
            print(event);
            if (++seen === Number(count)) resolve();
        });
    });
    await subscription.terminate();
}

const named = (pairs) => Object.fromEntries(
    (pairs ?? []).map((each) => [each.value.key.name, each.value.value.value]));

async function argumentsOf(session, methodId, given) {
    const definition = await session.getArgumentDefinition(methodId);
    return Promise.all(definition.inputArguments.map(async (argument) => {
        const value = given[argument.name];
        const builtIn = await opcua.findBasicDataType(session, argument.dataType);
        if (builtIn === opcua.DataType.ExtensionObject) {
            const object = await session.constructExtensionObject(argument.dataType, value ?? {});
            return { dataType: opcua.DataType.ExtensionObject, value: object };
        }
        if (argument.valueRank === 1) {
            return { dataType: opcua.DataType.Variant, arrayType: opcua.VariantArrayType.Array, value: [] };
        }
        return { dataType: builtIn, value: value ?? (builtIn === opcua.DataType.String ? "" : 0) };
    }));
}

async function call(session, path, method, given = {}) {
    const { id } = await nodes(session);
    const methodId = `${id(path)}.${method}`;
    const inputArguments = await argumentsOf(session, methodId, given);
    const result = await session.call({ objectId: id(path), methodId, inputArguments });
    return { status: result.statusCode.name, outputs: (result.outputArguments ?? []).map((each) => each.value) };
}

async function since(session, number) {
    let last = Number(number), complete = false;
    while (!complete) {
        const { status, outputs } = await call(session, "ResultManagement", "GetResultListFiltered",
            { StartIndex: last, MaxResults: 50 });
        if (status !== "Good") throw new Error(status);
        const list = outputs[3] ?? [];
        complete = outputs[0];
        for (const result of list) {
            print({ number: Number(result.resultId.id), part: result.partId.id, state: result.resultState,
                    content: named(result.resultContent) });
            last = Number(result.resultId.id);
        }
    }
}

async function jobs(session) {
    const { id } = await nodes(session);
    const inner = "VisionStateMachine.AutomaticModeStateMachine";
    const state = async () => (await session.read({ nodeId: `${id(inner)}.CurrentState`, attributeId: 13 })).value.value?.text;
    print({ state: await state() });
    print({ stop: await call(session, inner, "Stop", { Cause: 0, CauseDescription: "test" }), state: await state() });
    const started = await call(session, inner, "StartContinuous", { MeasId: { id: "m7" } });
    print({ start: started, state: await state() });
}

try {
    await client.connect(url);
    const identity = userName ? { type: opcua.UserTokenType.UserName, userName, password } : undefined;
    const session = await client.createSession(identity);
    await { browse, events, since, jobs }[action](session, argument);
    await session.close();
} catch (error) {
    print({ error: error.message });
    process.exitCode = 1;
} finally {
    await client.disconnect();
    await certificates.dispose();
}
