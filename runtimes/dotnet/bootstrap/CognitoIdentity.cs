using Amazon.Lambda.Core;

namespace Thaw.Bootstrap;

/// <summary>Who invoked, as Cognito says. See <see cref="Context"/> for how it implements the interface.</summary>
internal sealed class CognitoIdentity(string? id, string? pool) : ICognitoIdentity
{
    public string? IdentityId => id;

    public string? IdentityPoolId => pool;

    public static CognitoIdentity Parse(string? json)
    {
        var root = JsonElements.Parse(json);
        return new(root.Text("cognitoIdentityId"), root.Text("cognitoIdentityPoolId"));
    }
}
