namespace Thaw.Bootstrap;

/// <summary>One event, with what its headers say.</summary>
internal sealed record Invocation(
    string RequestId,
    DateTimeOffset Deadline,
    string FunctionArn,
    string? TraceId,
    string? ClientContext,
    string? CognitoIdentity,
    string? TenantId,
    string? InvocationId,
    byte[] Body);
