using System.Text.Json;
using Amazon.Lambda.Core;

namespace Thaw.Bootstrap;

/// <summary>The mobile application in a <see cref="ClientContext"/>.</summary>
internal sealed class ClientApplication(JsonElement client) : IClientApplication
{
    public string? AppPackageName => client.Text("app_package_name");

    public string? AppTitle => client.Text("app_title");

    public string? AppVersionCode => client.Text("app_version_code");

    public string? AppVersionName => client.Text("app_version_name");

    public string? InstallationId => client.Text("installation_id");
}
